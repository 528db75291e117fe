/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "claims.h"

/*
 * What protoc accepts and this plugin cannot: options that make no sense where
 * they stand, methods that could not be told apart, names that C would find
 * twice. Everything is looked at, so that one run shows all that is wrong.
 *
 * Names are taken for imported files too, because a program has all of them:
 * first those that protoc-c makes, which nobody can change here, then ours.
 */

void check_model(const struct model *model) {
  for (size_t i = 0; i < model->file_count; i++)
    claims_take(model->files[i]);
  for (size_t i = 0; i < model->file_count; i++)
    check_names(model->files[i]);
  for (size_t i = 0; i < model->file_count; i++) {
    if (!model->files[i]->generate)
      continue;
    check_messages(model->files[i]);
    check_services(model->files[i]);
  }
}
