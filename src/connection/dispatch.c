/* SPDX-License-Identifier: BSD-2-Clause */
#include <protosocket/dispatch.h>
#include <string.h>

/*
 * Which handler a message goes to. The rows of a table are sorted by field
 * number, and mostly without gaps, so that the row is where it would be
 * without any; otherwise it is searched for.
 */

static const struct psock_dispatch_row *find_row(
    const struct psock_dispatch_table *table, uint32_t field) {
  const struct psock_dispatch_row *rows = table->rows;
  size_t low = 0;
  size_t high = table->row_count;
  uint32_t guess = field - rows[0].field;
  if (guess < high && rows[guess].field == field)
    return &rows[guess];
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (rows[middle].field == field)
      return &rows[middle];
    if (rows[middle].field < field)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

void psock_dispatch(const struct psock_dispatch_table *table,
    const void *handlers, void *state, psock_connection *connection,
    const void *message) {
  uint32_t field;
  memcpy(&field, (const char *)message + table->case_offset, sizeof field);
  const struct psock_dispatch_row *row = find_row(table, field);
  if (row == NULL || !row->call(handlers, state, connection, message))
    table->rest(handlers, state, connection, message);
}
