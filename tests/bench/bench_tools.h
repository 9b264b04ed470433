/* bench_tools.h: what several benchmarks do besides what they measure.
 *
 * Threads: one; bench_chance has one state for the program.
 */
#ifndef MRD_BENCH_TOOLS_H
#define MRD_BENCH_TOOLS_H

#include <errno.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"

/* Anything but 0; set it for numbers that do not depend on those drawn before. */
static uint64_t bench_chance_state = 88172645463325252ULL;

/* The same numbers in every run, of 53 bits (xorshift64). */
static inline uint64_t bench_chance(void)
{
    bench_chance_state ^= bench_chance_state << 13;
    bench_chance_state ^= bench_chance_state >> 7;
    bench_chance_state ^= bench_chance_state << 17;
    return bench_chance_state >> 11;
}

/* CLOCK_PROCESS_CPUTIME_ID is the CPU time of all threads. */
static inline double bench_seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Ends the program if something failed. */
static inline void bench_must(enum mrd_status status, const struct mrd_error *err)
{
    if (status != MRD_OK) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, err->text);
        exit(1);
    }
}

/* Argument `at` as a number. */
static inline size_t bench_argument(int argc, char **argv, int at, size_t otherwise)
{
    return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

/* VmRSS or VmHWM in bytes. */
static inline size_t bench_resident(const char *which)
{
    char line[256];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, which, strlen(which)) == 0) {
            kib = strtoul(line + strlen(which) + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib << 10;
}

/* VmHWM begins anew. */
static inline void bench_forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        (void)fputs("5", file);
        (void)fclose(file);
    }
}

static inline int bench_remove_one(const char *path, const struct stat *info, int type,
                                   struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

/* False if something of the folder is left. */
static inline bool bench_remove_folder(const char *path)
{
    return nftw(path, bench_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0;
}

#endif
