/* Move the wall clock of a process by DEBRIEF_CLOCK seconds, and nothing else: preloaded by
   tests/other_day.py. Timed waits and sleeps go by the monotonic clock and stay as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t offset;

__attribute__((constructor)) static void read_offset(void)
{
    const char *seconds = getenv("DEBRIEF_CLOCK");
    offset = seconds ? atol(seconds) : 0;
}

static int is_wall_clock(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && is_wall_clock(clock))
        now->tv_sec += offset;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now)
        *now = exact.tv_sec;
    return exact.tv_sec;
}

/* The kernel waits by its own clock: a moment on the moved one is moved back. */
static struct timespec moved_back(const struct timespec *until)
{
    struct timespec real = *until;
    real.tv_sec -= offset;
    return real;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    int (*wait)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec real = moved_back(until);
    return wait(semaphore, &real);
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    int (*wait)(sem_t *, clockid_t, const struct timespec *) = dlsym(RTLD_NEXT, "sem_clockwait");
    struct timespec real = is_wall_clock(clock) ? moved_back(until) : *until;
    return wait(semaphore, clock, &real);
}
