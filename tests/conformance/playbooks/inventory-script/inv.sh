#!/bin/sh
echo '{"g": {"hosts": ["s1", "s2"], "vars": {"gv": 1}}, "p": {"children": ["g"]}, "bare": {"hosts": ["s3"]}, "_meta": {"hostvars": {"s1": {"hv": [1]}, "s2": {}, "s3": {}}}, "all": {"vars": {"pybible_agent": "local01"}}}'
