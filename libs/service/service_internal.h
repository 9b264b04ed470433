/* service_internal.h: what service.c, operations.c and settings.c share. */
#ifndef MRD_SERVICE_INTERNAL_H
#define MRD_SERVICE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "service/service.h"

enum { SERVICE_PARTS_MAX = 64, SERVICE_TABLES = 3 };

struct mrd_service_condition {
    struct mrd_service_condition *next; /* in order of creation */
    struct mrd_service *service;        /* whose lock guards the rest */
    const char *name;
    bool met;
    char reason[200];
};

struct service_part {
    const char *name;
    void (*stop)(void *context, mrd_time_ms grace_ms);
    void *context;
};

struct service_reload {
    void (*reload)(void *context, const struct mrd_config *config);
    void *context;
};

/* A file that is read again when it changes. */
struct service_file {
    struct stat read; /* as it was when it was read */
    struct stat last; /* and when it was looked at last */
};

struct mrd_service {
    const struct mrd_service_definition *definition;
    struct mrd_config_key listen_key;
    struct mrd_config_table tables[SERVICE_TABLES];
    struct mrd_config_schema schema;
    struct mrd_config_sources sources;
    struct mrd_metrics *metrics;
    struct mrd_http_server *http;

    struct service_part parts[SERVICE_PARTS_MAX];
    size_t part_count;
    struct service_reload reloads[SERVICE_PARTS_MAX];
    size_t reload_count;

    int signal_fd;
    int stop_fd;                   /* an eventfd: mrd_service_stop */
    struct service_file file;      /* --config */
    struct service_file overrides; /* overrides_file, of the snapshot in force */

    pthread_mutex_t lock; /* guards what follows */
    struct mrd_config *config;
    struct mrd_service_condition *conditions;

    _Atomic bool stopping;
    _Atomic bool failed;
    struct mrd_counter *reloads_ok;
    struct mrd_counter *reloads_bad;
};

/* settings.c: the common keys, and applying them to the process. */
extern const struct mrd_config_table service_common_keys;
void settings_apply_log(const struct mrd_config *config);
void settings_raise_descriptors(const struct mrd_config *config);
struct mrd_http_config settings_http(const struct mrd_config *config, struct mrd_metrics *metrics);

/* operations.c */
void operations_mount(struct mrd_service *service);

#endif
