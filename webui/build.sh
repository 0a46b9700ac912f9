#!/usr/bin/env bash
# Builds the web page into dist/page, from where cargo takes it into the program. Does nothing when nothing changed.
# Where npm or Node.js is missing or too old, it says so and fails: the program is then built without the page.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"

no() { printf 'the web page is left out: %s\n' "$*" >&2; exit 1; }

built=dist/page/index.html
if [ -e "$built" ] && [ -d node_modules ] &&
  [ -z "$(find src public index.html package.json package-lock.json tsconfig.json vite.config.ts -newer "$built" -print -quit)" ]; then
  exit 0
fi
command -v npm >/dev/null && command -v node >/dev/null || no "npm is not installed (apt-get install npm)"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  no "Node.js $(node --version) is too old; 20.19 or later is needed"
# Another build may go on in the same folder.
exec 9<package.json
flock 9
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# What packages would run when they are installed is not run: none of these needs it.
{ npm ci --no-audit --no-fund --ignore-scripts --fetch-retries=1 --fetch-timeout=30000 && npm run build; } >"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  no "npm failed"
}
