/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/heap.h"
#include "rpc/call.h"
#include <protosocket/error.h>
#include <string.h>

/*
 * What a status is called, and how it is kept: a text and details that come
 * from a peer or a user are copied into one piece of memory, because they have
 * to last as long as the call's last reference. If there is no memory for that,
 * the code alone is kept; a call must be able to end.
 */

const char *psock_status_name(uint32_t code) {
  switch (code) {
#define NAME(name, number)                                                     \
  case number:                                                                 \
    return #name;
    PSOCK_STATUSES(NAME)
#undef NAME
  default:
    return "unknown code";
  }
}

struct psock_status psock_status_of(uint32_t code, const char *text) {
  return (struct psock_status){
      .size = sizeof(struct psock_status),
      .code = code,
      .text = text == NULL ? "" : text,
  };
}

void psock_status_keep(struct psock_kept_status *kept, struct psock_heap *heap,
    const struct psock_status *status) {
  size_t text_length = status->text == NULL ? 0 : strlen(status->text);
  size_t length = text_length + 1 + status->details_length;
  *kept = (struct psock_kept_status){
      .status = psock_status_of(status->code, NULL),
  };
  kept->status.not_begun = status->not_begun;
  if (length == 1)
    return;
  char *memory = psock_heap_hold(heap, length);
  if (memory == NULL)
    return;
  memory[text_length] = '\0';
  if (text_length > 0)
    memcpy(memory, status->text, text_length);
  if (status->details_length > 0)
    memcpy(memory + text_length + 1, status->details, status->details_length);
  kept->heap = psock_heap_ref(heap);
  kept->memory = memory;
  kept->length = length;
  kept->status.text = memory;
  kept->status.details = (const uint8_t *)memory + text_length + 1;
  kept->status.details_length = status->details_length;
}

void psock_status_drop(struct psock_kept_status *kept) {
  if (kept->memory == NULL)
    return;
  psock_heap_release(kept->heap, kept->memory, kept->length);
  psock_heap_unref(kept->heap);
  kept->memory = NULL;
  kept->status = psock_status_of(kept->status.code, NULL);
}

struct psock_status psock_status_of_end(int reason) {
  return psock_status_of(PSOCK_STATUS_UNAVAILABLE,
      reason == 0 ? "the connection has ended" : psock_strerror(reason));
}

struct psock_status psock_status_of_frame(const struct psock_rpc_frame *frame) {
  struct psock_status status = {.size = sizeof status, .text = ""};
  bool well = frame->code == PSOCK_CODE_END;
  if (frame->status != NULL)
    status = *frame->status;
  else if (!well)
    status.code = PSOCK_STATUS_CANCELLED;
  if (!well && status.code == PSOCK_STATUS_OK)
    status.code = PSOCK_STATUS_UNKNOWN;
  if (status.text == NULL)
    status.text = "";
  status.not_begun = !well && frame->not_begun;
  return status;
}
