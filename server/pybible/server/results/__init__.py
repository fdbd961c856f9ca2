"""results: what happened, as pure values that the engine, the controller and the reports share."""
