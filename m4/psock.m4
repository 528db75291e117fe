# SPDX-License-Identifier: BSD-2-Clause
# Probes for flags. Each accepted flag is appended to a variable of ours, so
# that the user's CFLAGS and LDFLAGS stay the user's.

# PSOCK_COMPILE_FLAG(VARIABLE, FLAG)
# Appends FLAG to VARIABLE if the compiler takes it without a warning.
AC_DEFUN([PSOCK_COMPILE_FLAG], [
  AS_VAR_PUSHDEF([cache], [psock_cv_compile_$2])
  AC_CACHE_CHECK([whether $CC accepts $2], [cache], [
    psock_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([[int main(void) { return 0; }]])],
      [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
    CFLAGS=$psock_save_CFLAGS
  ])
  AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
  AS_VAR_POPDEF([cache])
])

# PSOCK_LINK_FLAG(VARIABLE, FLAG)
# Appends FLAG to VARIABLE if compiling and linking take it without a warning.
AC_DEFUN([PSOCK_LINK_FLAG], [
  AS_VAR_PUSHDEF([cache], [psock_cv_link_$2])
  AC_CACHE_CHECK([whether $CC links with $2], [cache], [
    psock_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_LINK_IFELSE([AC_LANG_SOURCE([[int main(void) { return 0; }]])],
      [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
    CFLAGS=$psock_save_CFLAGS
  ])
  AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
  AS_VAR_POPDEF([cache])
])

# PSOCK_FORTIFY(VARIABLE)
# Appends -D_FORTIFY_SOURCE=2 to VARIABLE when the user's flags optimise (it
# warns otherwise) and do not speak of it themselves.
AC_DEFUN([PSOCK_FORTIFY], [
  AC_CACHE_CHECK([whether to define _FORTIFY_SOURCE], [psock_cv_fortify], [
    AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
      #if !defined(__OPTIMIZE__) || defined(_FORTIFY_SOURCE)
      #error no
      #endif
      int main(void) { return 0; }]])],
      [psock_cv_fortify=yes], [psock_cv_fortify=no])
  ])
  AS_IF([test "$psock_cv_fortify" = yes],
    [AS_VAR_APPEND([$1], [" -D_FORTIFY_SOURCE=2"])])
])

# PSOCK_VERSION_SCRIPT
# Sets the conditional HAVE_VERSION_SCRIPT: whether the linker takes one.
AC_DEFUN([PSOCK_VERSION_SCRIPT], [
  AC_CACHE_CHECK([whether the linker takes a version script],
    [psock_cv_version_script], [
    psock_save_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS -shared -Wl,--version-script=conftest.map"
    echo 'CONFTEST_1 { global: conftest_symbol; local: *; };' > conftest.map
    AC_LINK_IFELSE([AC_LANG_SOURCE([[void conftest_symbol(void) {}]])],
      [psock_cv_version_script=yes], [psock_cv_version_script=no])
    LDFLAGS=$psock_save_LDFLAGS
    rm -f conftest.map
  ])
  AM_CONDITIONAL([HAVE_VERSION_SCRIPT], [test "$psock_cv_version_script" = yes])
])

# PSOCK_LIBEV
# libev has no .pc file: looks for its header and one of its functions. The
# user may say LIBEV_CFLAGS and LIBEV_LIBS.
AC_DEFUN([PSOCK_LIBEV], [
  AC_ARG_VAR([LIBEV_CFLAGS], [C compiler flags for libev, e.g. -I/opt/ev/include])
  AC_ARG_VAR([LIBEV_LIBS], [linker flags for libev @<:@-lev@:>@])
  : "${LIBEV_LIBS=-lev}"
  psock_save_CPPFLAGS=$CPPFLAGS
  psock_save_LIBS=$LIBS
  CPPFLAGS="$CPPFLAGS $LIBEV_CFLAGS"
  LIBS="$LIBEV_LIBS $LIBS"
  AC_CHECK_HEADER([ev.h], [],
    [AC_MSG_ERROR([ev.h was not found: install libev (Debian: libev-dev) or set LIBEV_CFLAGS])])
  AC_CACHE_CHECK([for ev_run in $LIBEV_LIBS], [psock_cv_ev_run], [
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <ev.h>]],
        [[return ev_run(ev_default_loop(0), 0);]])],
      [psock_cv_ev_run=yes], [psock_cv_ev_run=no])
  ])
  AS_IF([test "$psock_cv_ev_run" = no],
    [AC_MSG_ERROR([libev 4 was not found: install it (Debian: libev-dev) or set LIBEV_LIBS])])
  CPPFLAGS=$psock_save_CPPFLAGS
  LIBS=$psock_save_LIBS
])

# PSOCK_SANITIZERS
# --enable-sanitizers=LIST; sets SANITIZER_CFLAGS, for compiling and linking.
AC_DEFUN([PSOCK_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers=LIST],
      [build with sanitizers: address,undefined or thread])],
    [], [enable_sanitizers=no])
  SANITIZER_CFLAGS=
  AS_CASE([",$enable_sanitizers,"],
    [,no,], [],
    [,address,undefined,|,undefined,address,|,address,|,undefined,|,thread,], [
      PSOCK_LINK_FLAG([SANITIZER_CFLAGS], [-fsanitize=$enable_sanitizers])
      AS_IF([test -z "$SANITIZER_CFLAGS"],
        [AC_MSG_ERROR([$CC cannot link with -fsanitize=$enable_sanitizers])])
      PSOCK_COMPILE_FLAG([SANITIZER_CFLAGS], [-fno-sanitize-recover=all])
      PSOCK_COMPILE_FLAG([SANITIZER_CFLAGS], [-fno-omit-frame-pointer])
    ],
    [AC_MSG_ERROR([--enable-sanitizers takes address,undefined (or one of them) or thread])])
  AC_SUBST([SANITIZER_CFLAGS])
])
