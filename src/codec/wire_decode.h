/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_WIRE_DECODE_H
#define PSOCK_CODEC_WIRE_DECODE_H

#include "codec/frame.h"
#include <protosocket/arena.h>
#include <protosocket/generated.h>

/*
 * Decodes the message in `frame` with the functions that were generated for
 * its type, into `arena`, as deep as decoder->levels allows. Returns it, or
 * NULL with decoder->error set. Of the rest of `decoder`, which is zero at
 * first, `recheck` and `aliased` say how the message is to be taken.
 */
void *psock_decode_frame(struct psock_decoder *decoder,
    const struct psock_message_type *type, psock_arena *arena,
    const struct psock_frame *frame);

#endif
