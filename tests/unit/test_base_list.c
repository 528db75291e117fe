/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/list.h"
#include "base/mail.h"
#include "lib/memory.h"
#include "lib/rig.h"

#include <pthread.h>
#include <sched.h>

/*
 * Lists inside of what is listed, and the mailbox from many threads to one:
 * nothing is lost, doubled, or out of its sender's order.
 */

#define NODES 50
#define THREADS 8
#define LETTERS 2000

struct thing {
  int number;
  struct psock_list node;
};

static struct thing things[NODES];

static void check(
    const struct psock_list *list, const int *numbers, int count) {
  int seen = 0;
  for (struct psock_list *node = list->next; node != list; node = node->next) {
    ck_assert_ptr_eq(node->next->previous, node);
    ck_assert_int_lt(seen, count);
    ck_assert_int_eq(
        PSOCK_CONTAINER(node, struct thing, node)->number, numbers[seen]);
    seen++;
  }
  ck_assert_int_eq(seen, count);
  ck_assert_int_eq(psock_list_empty(list), count == 0);
}

START_TEST(a_list_behaves_as_an_array) {
  struct psock_list list;
  struct psock_list other;
  int numbers[NODES];
  int count = 0;
  uint64_t state = 1;
  psock_list_init(&list);
  for (int i = 0; i < NODES; i++) {
    things[i].number = i;
    psock_list_init(&things[i].node);
  }
  for (int round = 0; round < 5000; round++) {
    int chosen = (int)random_below(&state, NODES);
    int at = 0;
    while (at < count && numbers[at] != chosen)
      at++;
    if (at < count) {
      count--;
      for (int i = at; i < count; i++)
        numbers[i] = numbers[i + 1];
      psock_list_remove(&things[chosen].node);
      ck_assert(psock_list_empty(&things[chosen].node));
    } else {
      numbers[count++] = chosen;
      psock_list_append(&list, &things[chosen].node);
    }
    /* All at once to another list and back. */
    psock_list_take(&other, &list);
    ck_assert(psock_list_empty(&list));
    check(&other, numbers, count);
    psock_list_take(&list, &other);
    check(&list, numbers, count);
  }
}
END_TEST

struct letter {
  struct psock_mail mail; /* first */
  int thread;
  int number;
};

static psock_mailbox box;
static struct letter letters[THREADS][LETTERS];

static void *post_all(void *data) {
  struct letter *mine = data;
  for (int i = 0; i < LETTERS; i++)
    psock_mail_post(&box, &mine[i].mail);
  return NULL;
}

/* Takes what is there. */
static void take_all(int *next, int *seen) {
  struct psock_mail *mail = psock_mail_take(&box);
  while (mail != NULL) {
    struct letter *letter = (struct letter *)mail;
    mail = mail->next;
    ck_assert_int_eq(letter->number, next[letter->thread]);
    next[letter->thread]++;
    ++*seen;
  }
}

START_TEST(letters_arrive_once_and_in_order) {
  pthread_t threads[THREADS];
  int next[THREADS] = {0};
  int seen = 0;
  ck_assert_ptr_null(psock_mail_take(&box));
  for (int i = 0; i < THREADS; i++) {
    for (int k = 0; k < LETTERS; k++)
      letters[i][k] = (struct letter){.thread = i, .number = k};
    ck_assert_int_eq(
        pthread_create(&threads[i], NULL, post_all, letters[i]), 0);
  }
  while (seen < THREADS * LETTERS) {
    take_all(next, &seen);
    sched_yield();
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  ck_assert_ptr_null(psock_mail_take(&box));
}
END_TEST

int main(void) {
  Suite *suite = suite_create("lists");
  TCase *tcase = rig_case(suite, "lists");
  tcase_add_test(tcase, a_list_behaves_as_an_array);
  tcase_add_test(tcase, letters_arrive_once_and_in_order);
  return rig_main(suite);
}
