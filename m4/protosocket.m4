# SPDX-License-Identifier: BSD-2-Clause
# For the configure.ac of a program that uses protosocket.

# PROTOSOCKET_PROTOC
# Finds what makes C of a schema: protoc, protoc-gen-c and protoc-gen-psock, of
# which the last is asked of pkg-config. It is an error if one is missing.
# Sets, for Makefiles:
#   PROTOC                    protoc itself
#   PROTOC_GEN_C              protobuf-c's plugin
#   PROTOC_GEN_PSOCK          protosocket's plugin
#   PROTOSOCKET_PROTOC_FLAGS  where protoc has both from, and options.proto
# so that a rule is
#   foo.psock.c: foo.proto
#           $(PROTOC) -I$(srcdir) $(PROTOSOCKET_PROTOC_FLAGS) \
#             --psock_out=. --c_out=. $(srcdir)/foo.proto
#
# The user can set the first three. A cross build does not run the plugin that
# is installed for the machine it builds for: it takes PROTOC_GEN_PSOCK, or
# else what is in PATH.
AC_DEFUN([PROTOSOCKET_PROTOC], [
  AC_REQUIRE([PKG_PROG_PKG_CONFIG])
  AC_ARG_VAR([PROTOC], [the compiler of protocol buffers])
  AC_ARG_VAR([PROTOC_GEN_C], [protobuf-c's plugin for protoc])
  AC_ARG_VAR([PROTOC_GEN_PSOCK], [protosocket's plugin for protoc])
  AC_PATH_PROG([PROTOC], [protoc])
  AS_IF([test -z "$PROTOC"],
    [AC_MSG_ERROR([protoc was not found (Debian: protobuf-compiler)])])
  AC_PATH_PROG([PROTOC_GEN_C], [protoc-gen-c])
  AS_IF([test -z "$PROTOC_GEN_C"],
    [AC_MSG_ERROR([protoc-gen-c was not found (Debian: protobuf-c-compiler)])])
  AS_IF([test -z "$PROTOC_GEN_PSOCK" && test "$cross_compiling" != yes],
    [PROTOC_GEN_PSOCK=`$PKG_CONFIG --variable=protoc_gen_psock protosocket`])
  AC_PATH_PROG([PROTOC_GEN_PSOCK], [protoc-gen-psock])
  AS_IF([test -z "$PROTOC_GEN_PSOCK"],
    [AC_MSG_ERROR([protoc-gen-psock was not found: set PROTOC_GEN_PSOCK])])
  AC_MSG_CHECKING([whether $PROTOC_GEN_PSOCK runs])
  AS_IF([protosocket_said=`"$PROTOC_GEN_PSOCK" --version 2>&AS_MESSAGE_LOG_FD`],
    [AC_MSG_RESULT([$protosocket_said])],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([$PROTOC_GEN_PSOCK does not run here: set PROTOC_GEN_PSOCK])])
  PROTOSOCKET_PROTOC_FLAGS="--plugin=protoc-gen-c=$PROTOC_GEN_C"
  AS_VAR_APPEND([PROTOSOCKET_PROTOC_FLAGS],
    [" --plugin=protoc-gen-psock=$PROTOC_GEN_PSOCK"])
  protosocket_dir=`$PKG_CONFIG --variable=protodir protosocket`
  AS_IF([test -z "$protosocket_dir"],
    [AC_MSG_ERROR([pkg-config does not know protosocket: set PKG_CONFIG_PATH])])
  AS_VAR_APPEND([PROTOSOCKET_PROTOC_FLAGS], [" -I$protosocket_dir"])
  # protobuf-c's options, which ours import; protoc knows its own directory.
  protosocket_dir=`$PKG_CONFIG --variable=includedir libprotobuf-c`
  AS_IF([test -f "$protosocket_dir/protobuf-c/protobuf-c.proto"],
    [AS_VAR_APPEND([PROTOSOCKET_PROTOC_FLAGS], [" -I$protosocket_dir"])])
  AC_SUBST([PROTOSOCKET_PROTOC_FLAGS])
])
