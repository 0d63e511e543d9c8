"""How much each caller may ask for in a minute, over all replicas: counted here at once, agreed on through Redis."""
