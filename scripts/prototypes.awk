# SPDX-License-Identifier: BSD-2-Clause
# Prints one line for every prototype in the public headers:
#   name returns fallible documented file:line
# `returns` is yes if there is a value, `fallible` if it has to be looked at,
# `documented` if a comment ends on the line above.

FNR == 1 { comment_end = 0 }

/^PSOCK_API/ {
  text = ""
  first = FNR
  documented = comment_end == FNR - 1 ? "yes" : "no"
}

/\*\/[ \t]*$/ { comment_end = FNR }

first {
  text = text " " $0
  if ($0 !~ /;[ \t]*$/)
    next
  head = text
  sub(/\(.*/, "", head)
  name = head
  sub(/.*[ *]/, "", name)
  returns = head ~ / void psock_[a-z0-9_]*$/ ? "no" : "yes"
  fallible = head ~ /PSOCK_NODISCARD/ ? "yes" : "no"
  print name, returns, fallible, documented, FILENAME ":" first
  first = 0
}
