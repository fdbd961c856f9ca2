"""client: how the engine and the commands reach a controller, and the control node's own runner."""
