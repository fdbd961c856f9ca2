#!/bin/sh
echo "hello $# $1"
for word; do echo "- $word"; done
