"""A lookup beside the playbook."""

try:
    from ansible.plugins.lookup import LookupBase
except ImportError:
    LookupBase = object


class LookupModule(LookupBase):
    def run(self, terms, variables=None, end="!", **kwargs):
        return [term.upper() + end for term in terms]
