#!/usr/bin/env bash
# Passes rows to another program as they come, and looks at how both have ended.
#
#   pipeline.sh scans sure.jsonl
#
# Rows that are ok go to sure.jsonl, which appears whole or not at all; the others are named on stderr.
set -euo pipefail

folder=$1
result=$2
trap 'rm -f "$result.part"' EXIT

# With || a failure does not end the script, and PIPESTATUS still holds the exit code of each of the two.
codes=(0 0)
batchdigits classify "$folder" --output - --format jsonl --quiet | python3 -c '
import json, sys

for line in sys.stdin:
    row = json.loads(line)
    if row["status"] == "ok":
        sys.stdout.write(line)
    else:
        print(row["status"], row["file"], row["reason"], file=sys.stderr)
' > "$result.part" || codes=("${PIPESTATUS[@]}")

if [ "${codes[1]}" -ne 0 ]; then
  echo "pipeline.sh: the filter ended with ${codes[1]}" >&2
  exit "${codes[1]}"
fi
case ${codes[0]} in
  0 | 4) mv "$result.part" "$result" ;; # 4: there are error rows, and they have passed by as well
  *) echo "pipeline.sh: batchdigits ended with ${codes[0]}, $result is as it was" >&2 ;;
esac
exit "${codes[0]}"
