#!/usr/bin/env bash
# Builds, then starts everything on this machine with the demo bank. Data stays in sterling-data/ (STERLING_DATA).
source "$(dirname "$0")/env.sh"

tools/build.sh main
exec bin/sterling up --demo --data "${STERLING_DATA:-sterling-data}"
