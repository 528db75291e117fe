/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_MAIL_H
#define PSOCK_BASE_MAIL_H

#include <stdatomic.h>
#include <stddef.h>

/*
 * A queue from many threads to one, without a lock: a stack that the one
 * takes as a whole and turns over. A node is in it at most once; whoever posts
 * sees to that.
 */
struct psock_mail {
  struct psock_mail *next;
};

typedef _Atomic(struct psock_mail *) psock_mailbox;

/* Any thread. */
static inline void psock_mail_post(
    psock_mailbox *box, struct psock_mail *mail) {
  struct psock_mail *head = atomic_load_explicit(box, memory_order_relaxed);
  do
    mail->next = head;
  while (!atomic_compare_exchange_weak_explicit(
      box, &head, mail, memory_order_seq_cst, memory_order_relaxed));
}

/* Takes all, the oldest first. The receiver's thread. */
static inline struct psock_mail *psock_mail_take(psock_mailbox *box) {
  struct psock_mail *mail =
      atomic_exchange_explicit(box, NULL, memory_order_seq_cst);
  struct psock_mail *oldest = NULL;
  while (mail != NULL) {
    struct psock_mail *next = mail->next;
    mail->next = oldest;
    oldest = mail;
    mail = next;
  }
  return oldest;
}

#endif
