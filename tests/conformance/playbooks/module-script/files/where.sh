#!/bin/sh
pwd
[ -z "$WORD" ] || echo "$WORD" >&2
