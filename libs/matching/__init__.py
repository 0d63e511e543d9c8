"""What records are matched against: conditions and rules, compiled and evaluated. Pure: no input or output here."""
