/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_EXPORT_H
#define PROTOSOCKET_EXPORT_H

/*
 * What every public header needs: linkage for C++, visibility, and attributes
 * that make a compiler ask where an error went, or warn of what is old.
 */

#ifdef __cplusplus
#define PSOCK_BEGIN_DECLS extern "C" {
#define PSOCK_END_DECLS }
#else
#define PSOCK_BEGIN_DECLS
#define PSOCK_END_DECLS
#endif

#if defined(__GNUC__)
#define PSOCK_API __attribute__((visibility("default")))
#define PSOCK_NODISCARD __attribute__((warn_unused_result))
#define PSOCK_DEPRECATED __attribute__((deprecated))
#else
#define PSOCK_API
#define PSOCK_NODISCARD
#define PSOCK_DEPRECATED
#endif

#endif
