#!/bin/sh
case "$1" in
--list) echo '{"g": {"hosts": ["s1", "s2"]}, "p": {"children": ["g"], "vars": {"pybible_agent": "local01"}}}' ;;
--host) echo "{\"mine\": \"of $2\"}" ;;
esac
