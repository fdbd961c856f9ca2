"""model: what a playbook says, as frozen values. Nothing here is rendered: text of the operator's stays as written."""
