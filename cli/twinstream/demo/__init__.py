"""Something to stream: this machine's Debian packages and their changelogs, or records made up from a seed."""
