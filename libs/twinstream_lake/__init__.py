"""The lake's tables as whoever reads them sees them: their layout, a pinned state of them, and views in SQL."""
