#include "io/process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static uint64_t time_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec;
}

void process_open(struct process *process)
{
    process->start_ns = time_ns(CLOCK_REALTIME);
    process->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

void process_close(struct process *process)
{
    if (process->statm != -1) {
        close(process->statm);
        process->statm = -1;
    }
}

/* The second number of the file: resident pages (proc(5)). */
static uint64_t resident_bytes(const struct process *process)
{
    char text[64];
    uint64_t pages = 0;
    ssize_t length = pread(process->statm, text, sizeof text - 1, 0);
    const char *at = text;

    if (length <= 0) {
        return 0;
    }
    text[length] = '\0';
    while (*at >= '0' && *at <= '9') {
        at++;
    }
    for (at++; *at >= '0' && *at <= '9'; at++) {
        pages = pages * 10 + (uint64_t)(*at - '0');
    }
    return pages * (uint64_t)getpagesize();
}

void process_read(const struct process *process, uint64_t open_fds, uint64_t *numbers)
{
    struct rlimit limit = {0};

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    numbers[PROCESS_CPU_NS] = time_ns(CLOCK_PROCESS_CPUTIME_ID);
    numbers[PROCESS_OPEN_FDS] = open_fds + (process->statm != -1);
    numbers[PROCESS_MAX_FDS] = limit.rlim_cur;
    numbers[PROCESS_START_NS] = process->start_ns;
    numbers[PROCESS_RESIDENT_BYTES] = resident_bytes(process);
}
