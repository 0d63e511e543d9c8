"""When an alert leaves for a destination, and with which others: pure, shared by the notifier and the backtest."""
