/* The process_* metrics that every Prometheus client has, from /proc. */
#include "base/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

/* Bytes in pages from /proc/self/statm; field 0 is the virtual size, 1 what is resident. */
static double read_statm(int field)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    unsigned long pages[2] = {0, 0};
    const int got = fscanf(file, "%lu %lu", &pages[0], &pages[1]);
    (void)fclose(file);
    return got == 2 ? (double)pages[field] * (double)sysconf(_SC_PAGESIZE) : 0;
}

static double read_resident(void *context)
{
    (void)context;
    return read_statm(1);
}

static double read_virtual(void *context)
{
    (void)context;
    return read_statm(0);
}

static double read_cpu_seconds(void *context)
{
    (void)context;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) {
        return 0;
    }
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static double read_open_fds(void *context)
{
    (void)context;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return 0;
    }
    double count = 0;
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count - 3; /* ".", ".." and the folder itself */
}

static double read_max_fds(void *context)
{
    (void)context;
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (double)limit.rlim_cur : 0;
}

/* Threads and start time are fields 20 and 22 of /proc/self/stat; the name before them may hold
 * anything, so they are counted from its closing parenthesis. */
static double read_stat(int field)
{
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL) {
        return 0;
    }
    char line[1024];
    const size_t size = fread(line, 1, sizeof(line) - 1, file);
    (void)fclose(file);
    line[size] = 0;
    const char *at = strrchr(line, ')');
    for (int i = 2; at != NULL && i < field; i++) {
        at = strchr(at + 1, ' ');
    }
    double value = 0;
    return at != NULL && sscanf(at, "%lf", &value) == 1 ? value : 0;
}

static double read_threads(void *context)
{
    (void)context;
    return read_stat(20);
}

/* Seconds since the epoch: boot time plus ticks since boot. */
static double read_start_time(void *context)
{
    (void)context;
    double boot = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) {
        return 0;
    }
    char line[256];
    while (boot == 0 && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "btime %lf", &boot) != 1) {
            boot = 0;
        }
    }
    (void)fclose(file);
    return boot + read_stat(22) / (double)sysconf(_SC_CLK_TCK);
}

static const struct {
    const char *name;
    const char *help;
    enum mrd_metric_type type;
    double (*read)(void *context);
} process_metrics[] = {
    {"process_cpu_seconds_total",     "Total user and system CPU time spent in seconds.",
     MRD_METRIC_COUNTER,                                                                                          read_cpu_seconds},
    {"process_max_fds",               "Maximum number of open file descriptors.",               MRD_METRIC_GAUGE, read_max_fds    },
    {"process_open_fds",              "Number of open file descriptors.",                       MRD_METRIC_GAUGE, read_open_fds   },
    {"process_resident_memory_bytes", "Resident memory size in bytes.",                         MRD_METRIC_GAUGE,
     read_resident                                                                                                                },
    {"process_start_time_seconds",    "Start time of the process since unix epoch in seconds.",
     MRD_METRIC_GAUGE,                                                                                            read_start_time },
    {"process_threads",               "Number of threads of the process.",                      MRD_METRIC_GAUGE, read_threads    },
    {"process_virtual_memory_bytes",  "Virtual memory size in bytes.",                          MRD_METRIC_GAUGE,
     read_virtual                                                                                                                 },
};

void mrd_metrics_process(struct mrd_metrics *metrics, const char *service)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(process_metrics); i++) {
        mrd_metrics_callback(metrics, process_metrics[i].type, process_metrics[i].name,
                             process_metrics[i].help, MRD_NO_LABELS, process_metrics[i].read, NULL);
    }
    struct mrd_gauge *info = mrd_metrics_gauge(
        metrics, "meridian_build_info", "Always 1; the labels say what is running.",
        MRD_LABELS({"service", service}, {"version", MRD_VERSION}));
    mrd_gauge_set(info, 1);
}
