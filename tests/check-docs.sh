#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every public function has a comment in its header and a manual page of its
# name, and every page has the sections that its functions ask for. Those in
# generated.h, for generated code only, are listed in protosocket-generated(7).
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"
export LC_ALL=C

# First the prototypes, as lines of five words, then the pages.
"${AWK:-awk}" -f scripts/prototypes.awk include/protosocket.h \
  include/protosocket/*.h | "${AWK:-awk}" '
function complain(text) {
  print text
  bad = 1
}

# Ends a page: what was seen of it is compared with what it has to have.
function end_page(needed, count, i) {
  if (page == "")
    return
  needed = "NAME,DESCRIPTION,SEE ALSO"
  if (section == 3)
    needed = needed ",SYNOPSIS,THREADS,EXAMPLES,HISTORY"
  if (section == 3 && page_returns)
    needed = needed ",RETURN VALUES"
  if (section == 3 && page_fails)
    needed = needed ",ERRORS"
  count = split(needed, names, ",")
  for (i = 1; i <= count; i++)
    if (!((page, names[i]) in sections))
      complain(page ": there is no section " names[i])
  if (section == 3 && !example)
    complain(page ": EXAMPLES has no block (.Bd) to compile")
}

FILENAME == "-" && $5 ~ /\/generated\.h:/ {
  for_generated[$1] = $5
  next
}
FILENAME == "-" {
  where[$1] = $5
  returns[$1] = $2 == "yes"
  fails[$1] = $3 == "yes"
  if ($4 != "yes")
    complain($5 ": no comment right above " $1)
  next
}

FNR == 1 {
  end_page()
  page = FILENAME
  section = page
  sub(/.*\./, "", section)
  heading = ""
  page_returns = page_fails = example = 0
}

/^\.Sh / {
  heading = $0
  sub(/^\.Sh +/, "", heading)
  gsub(/"/, "", heading)
  sections[page, heading] = 1
}
heading == "NAME" && $1 == ".Nm" && section == 3 {
  if ($2 in described)
    complain(page ": " $2 " is described in " described[$2] " too")
  described[$2] = page
  page_returns = page_returns || returns[$2]
  page_fails = page_fails || fails[$2]
}
heading == "SYNOPSIS" && ($1 == ".Fn" || $1 == ".Fo") { synopsis[$2] = page }
FILENAME ~ /protosocket-generated\.7$/ && $1 == ".Fn" { listed[$2] = 1 }
heading == "HISTORY" { history[page] = history[page] " " $0 }
heading == "EXAMPLES" && $1 == ".Bd" { example = 1 }

END {
  end_page()
  for (name in where) {
    found++
    if (!(name in described))
      complain(where[name] ": " name " has no manual page")
    else if (synopsis[name] != described[name])
      complain(described[name] ": " name " is not in the SYNOPSIS")
    else if (!index(history[described[name]], name))
      complain(described[name] ": " name " is not in the HISTORY")
  }
  for (name in for_generated)
    if (!(name in listed))
      complain(for_generated[name] ": " name \
               " is not listed in protosocket-generated(7)")
  for (name in listed)
    if (name ~ /^psock_(encode|decode|put|get)_/ && !(name in for_generated))
      complain("protosocket-generated(7): " name " is not in generated.h")
  for (name in synopsis)
    if (!(name in where))
      complain(synopsis[name] ": " name " is in no public header")
  if (!found)
    complain("no prototype was found in the public headers")
  exit bad
}' - man/*.[1-9]
