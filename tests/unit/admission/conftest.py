def pytest_make_parametrize_id(val: object) -> str | None:
    """Bodies of megabytes are no names of tests."""
    return ascii(val[:40]) if isinstance(val, bytes | str) and len(val) > 40 else None
