#!/bin/sh
echo trouble >&2
exit 3
