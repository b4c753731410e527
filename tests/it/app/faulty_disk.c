/* Preloaded into conflow by tests: while the file $FAULTY_DISK exists, writes to files whose path has a part
   fail. The file says how: "ERRNO PART". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The error of a write to this path, or 0. */
static int fault_of(const char *path)
{
    char text[256] = "", part[256] = "";
    const char *name = getenv("FAULTY_DISK");
    int error = 0, file = name ? (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY) : -1;

    if (file < 0)
        return 0;
    ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0 || sscanf(text, "%d %255s", &error, part) != 2)
        return 0;
    return strstr(path, part) ? error : 0;
}

static int fails(int file)
{
    char link[64], path[PATH_MAX];
    int saved = errno, error;

    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    error = fault_of(path);
    errno = error ? error : saved;
    return error != 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t length)
{
    return fails(file) ? -1 : REAL(write)(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at)
{
    return fails(file) ? -1 : REAL(pwrite)(file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at)
{
    return fails(file) ? -1 : REAL(pwrite64)(file, bytes, length, at);
}

int fsync(int file)
{
    return fails(file) ? -1 : REAL(fsync)(file);
}

int fdatasync(int file)
{
    return fails(file) ? -1 : REAL(fdatasync)(file);
}

/* A file that may be made: its other writes come through the functions above. */
static int makes(const char *path, int flags)
{
    int error = flags & O_CREAT ? fault_of(path) : 0;
    if (error)
        errno = error;
    return error != 0;
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return makes(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return makes(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}
