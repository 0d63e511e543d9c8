"""Words in texts of many scripts: where a keyword is found, and where it must not be. ⟦ ⟧ mark what is to be found."""
# ruff: noqa: RUF001  # letters that look like others are the point

import re

import pytest

from common.contracts import RecordA, Stream
from matching.matcher import Matcher
from matching.rules import Rule, VersionedRule

CASES = [
    # Latin
    ("refund", "I want a ⟦REFUND⟧ now"),
    ("REFUND", "⟦refund⟧"),
    ("refund", "refunds, prerefund, refunded"),
    ("refund", "(⟦refund⟧)!⟦refund⟧?"),
    ("refund", "refund2 2refund"),
    ("refund", "a ⟦refund⟧-request, non-⟦refund⟧"),
    ("refund", "_⟦refund⟧_ *⟦refund⟧* refund_id my_refund"),
    ("money back", "⟦money back⟧, ⟦Money\n\tBack⟧, ⟦money\u00a0\u00a0back⟧, moneyback"),
    ("money back", "my money backs"),
    (" refund ", "⟦refund⟧"),
    ("e-mail", "my ⟦E-Mail⟧, ⟦e\u2011mail⟧, email, e mail"),
    ("mail", "e-⟦mail⟧"),
    ("c++", "I write ⟦C++⟧, ⟦c++⟧11"),
    ("$100", "costs ⟦$100⟧, not $1000"),
    ("#fail", "what a ⟦#FAIL⟧!"),
    ("100", "⟦100⟧, 1,100 and 100.5, then ⟦100⟧. ⟦100⟧"),
    ("14", "3.14, not ⟦14⟧: v14"),
    ("done", "all ⟦done⟧.Thanks"),
    # Latin, with apostrophes
    ("can", "I can't, but I ⟦can⟧"),
    ("can't", "I ⟦can\u2019t⟧, ⟦can't⟧, ⟦CAN\uff07T⟧"),
    ("don", "don't, ⟦Don⟧"),
    ("refund", "the ⟦refund⟧'s late, ⟦refund⟧\u2019s"),
    ("refund", "'⟦refund⟧' and \u2018⟦refund⟧\u2019, refund'set"),
    ("argent", "l'⟦argent⟧, d\u2019⟦argent⟧, qu'⟦argent⟧ dell'⟦argent⟧"),
    ("arriver", "e\u0301\u0301s'arriver, s'⟦arriver⟧"),
    ("brien", "O'Brien, ⟦Brien⟧"),
    # Latin, with accents and other marks
    ("café", "un ⟦café⟧, un ⟦cafe\u0301⟧, un ⟦CAFE\u0301⟧, un cafe"),
    ("cafe", "café, cafe\u0301, ⟦cafe⟧"),
    ("cafe\u0301", "⟦café⟧"),
    ("straße", "⟦STRASSE⟧, ⟦Straße⟧, ⟦STRAẞE⟧"),
    ("strasse", "⟦Straße⟧"),
    ("việt", "⟦Việt⟧, ⟦Vi\u00ea\u0323t⟧, ⟦Vie\u0323\u0302t⟧, ⟦vie\u0302\u0323t⟧"),
    ("ångström", "⟦A\u030angstro\u0308m⟧, ⟦Ångström⟧, ⟦\u212bngström⟧"),
    ("x", "x\u0302, ⟦x⟧"),
    # Latin, in ligatures, full width and other forms of compatibility
    ("office", "the ⟦oﬃce⟧, ⟦oﬀice⟧"),
    ("fi", "ﬁn, ⟦ﬁ⟧"),
    ("refund", "⟦ｒｅｆｕｎｄ⟧, ⟦𝐫𝐞𝐟𝐮𝐧𝐝⟧, ⟦ⓡⓔⓕⓤⓝⓓ⟧"),
    ("kg", "5 ⟦㎏⟧"),
    ("x2", "⟦x²⟧"),
    # Latin, with what cannot be seen
    ("refund", "⟦re\u00adfund⟧, ⟦r\u200be\u200bf\u200bund⟧, ⟦re\u2060fund⟧"),
    ("refund", "\ufeff⟦refund⟧\u200b"),
    ("re\u200bfund", "⟦refund⟧"),
    ("refund", "re\u200b\u0301fund"),
    ("refund", "\u202e⟦refund⟧\u202c"),
    # Turkish: all four letters are one
    ("iptal", "⟦İPTAL⟧, ⟦IPTAL⟧, ⟦iptal⟧, ⟦İptal⟧"),
    ("ışık", "⟦IŞIK⟧, ⟦ışık⟧"),
    ("İstanbul", "⟦istanbul⟧, ⟦i\u0307stanbul⟧, istanbullu"),
    # Cyrillic
    ("возврат", "хочу ⟦ВОЗВРАТ⟧!"),
    ("возврат", "возврата, невозврат"),
    ("й", "⟦й⟧, ⟦и\u0306⟧, и"),
    ("ёлка", "⟦Ёлка⟧, ⟦е\u0308лка⟧, елка"),
    ("ять", "п'ять, п\u02bcять, ⟦ять⟧"),
    ("п'ять", "⟦п\u02bcять⟧, ⟦П\u2019ЯТЬ⟧"),
    ("а", "a, ⟦а⟧"),  # the first one is Latin
    # Greek
    ("λόγος", "ο ⟦ΛΌΓΟΣ⟧, ⟦λόγοσ⟧, λόγου"),
    ("ΟΔΟΣ", "⟦οδος⟧"),
    ("ᾳ", "⟦ᾳ⟧ ⟦αι⟧ ⟦ᾼ⟧ ⟦α\u0345⟧"),
    ("μ", "⟦µ⟧ ⟦μ⟧ ⟦Μ⟧"),  # the first is the micro sign
    # Armenian, Georgian
    ("եւ", "⟦և⟧, ⟦ԵՒ⟧"),
    ("თბილისი", "⟦ᲗᲑᲘᲚᲘᲡᲘ⟧"),
    # Arabic, Hebrew: from right to left, offsets as typed
    ("استرداد", "أريد ⟦استرداد⟧ المال، الاسترداد"),
    ("سلام", "⟦ﺳﻼﻡ⟧ ⟦سلام⟧\u200f سـلام"),
    ("می‌خواهم", "⟦می\u200cخواهم⟧ ⟦میخواهم⟧"),
    ("كتاب", "كِتَاب ⟦كتاب⟧"),
    ("שלום", "⟦שלום⟧! בשלום שָׁלוֹם"),
    # Devanagari, Bengali, Tamil: marks belong to letters
    ("हिन्दी", "⟦हिन्दी⟧ में, हिन्दीवाला"),
    ("क", "कि, क्ष, ⟦क⟧"),
    ("क़", "⟦क़⟧ ⟦\u0958⟧"),
    ("কো", "⟦কো⟧ ⟦ক\u09c7\u09be⟧"),
    ("தமிழ்", "⟦தமிழ்⟧, தமிழ்நாடு"),
    # Scripts without spaces: anywhere, but never within a letter and its marks
    ("返金", "全額⟦返金⟧してください"),
    ("カード", "クレジット⟦カード⟧、⟦ｶｰﾄﾞ⟧"),
    ("か", "が、か\u3099、⟦か⟧"),
    ("株式会社", "⟦㍿⟧トヨタ"),
    ("会社", "⟦㍿⟧"),
    ("iphone", "新しい⟦iPhone⟧を買う、iPhones"),
    ("100", "⟦100⟧円、⟦１００⟧円、1000円"),
    ("退款", "我要⟦退款⟧！"),
    ("ハハ", "⟦ハハ⟧、ハ"),
    ("환불", "전액⟦환불⟧을 원해요"),
    ("환불", "⟦\u1112\u116a\u11ab\u1107\u116e\u11af⟧"),
    ("가", "\u1100\u1161\u11a8, ⟦\u1100\u1161⟧"),
    ("เงิน", "ขอคืน⟦เงิน⟧ด่วน"),
    ("น้ำ", "แม่⟦น้ำ⟧"),
    ("กา", "กำ, ⟦กา⟧"),
    ("ເງິນ", "ຄືນ⟦ເງິນ⟧"),
    ("ប្រាក់", "សង⟦ប្រាក់⟧វិញ"),
    ("រ", "ប្រា"),
    ("ငွေ", "⟦ငွေ⟧ပြန်"),
    # Emoji
    ("👎", "⟦👎⟧⟦👎⟧ ⟦👎🏽⟧ bad⟦👎⟧"),
    ("👎🏿", "⟦👎⟧ ⟦👎🏻⟧"),
    ("refund", "🙂⟦refund⟧🙂"),
    ("❤", "⟦❤️⟧ ⟦❤⟧"),
    ("❤️", "⟦❤⟧"),
    ("👩", "👩‍🚀 ⟦👩⟧, 👩‍👩‍👧"),
    ("👩‍🚀", "⟦👩‍🚀⟧ ⟦👩🏽‍🚀⟧"),
    ("🇩🇪", "⟦🇩🇪⟧🇫🇷 🇺🇩🇪🇺"),
    ("1️⃣", "⟦1️⃣⟧"),
]


def spans(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without marks, and what they enclose, in code points."""
    text, found = "", []
    for part in re.split("([⟦⟧])", marked):
        if part == "⟦":
            found.append((len(text), -1))
        elif part == "⟧":
            found[-1] = (found[-1][0], len(text))
        else:
            text += part
    return text, found


def record(text: str) -> RecordA:
    return RecordA(id="a", number=1.0, text=text, event_time=0, ingested_at=0)


def test_the_table_is_as_wide_as_it_claims() -> None:
    assert len(CASES) > 60


@pytest.mark.parametrize(("keyword", "marked"), CASES, ids=lambda value: ascii(value)[:60])
def test_a_keyword_is_found_where_it_is_a_word(keyword: str, marked: str) -> None:
    text, expected = spans(marked)
    matcher = Matcher.compile([VersionedRule(Rule(name="it", keywords=(keyword,)), 1)])
    found = [span for hit in matcher.match(Stream.A, record(text)) for span in hit.spans]
    assert [(span.start, span.end) for span in found] == expected
    assert [span.text for span in found] == [text[start:end] for start, end in expected]
    assert {span.pattern for span in found} <= {keyword}
