"""protocol: what earlier and later versions say on the wire, and that this one gets on with them."""
