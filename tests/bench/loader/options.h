/* options.h: the command line of meridian-bench-load. */
#ifndef MRD_BENCH_LOADER_OPTIONS_H
#define MRD_BENCH_LOADER_OPTIONS_H

#include "base/status.h"
#include "loader/fleet.h"
#include "loader/plan.h"

enum load_action { LOAD_ACTION_RUN, LOAD_ACTION_PRINT_EXPECTED, LOAD_ACTION_HELP };

struct load_options {
    enum load_action action;
    struct load_fleet fleet;
    struct load_plan plan;

    char host[256]; /* of the URL: an IPv4 address or a name */
    char port[8];
    char path[1024];
    const char *tenant;        /* X-Scope-OrgID for a single tenant, or NULL */
    const char *tenant_prefix; /* many tenants: prefix and number */

    double rate;             /* samples a second of the open loop; 0: closed loop */
    mrd_time_ms duration_ms; /* no new requests after that; 0: until the plan is done */
    mrd_time_ms timeout_ms;  /* of one request, from its first byte sent */
    bool retry;              /* 5xx and lost connections, as Prometheus does */
    uint64_t skew_max;       /* requests that one connection may be ahead of another; 0: any */
    uint64_t prepare_bytes;  /* bodies made before the start */
    const char *verify_path; /* where to write what was acknowledged, or NULL */
    uint64_t print_max;      /* samples that --print-expected prints at most; 0: all */
    bool progress;
};

/* Fills *options from argv; MRD_E_INVALID names the argument. Strings point into argv. */
MRD_MUST_CHECK enum mrd_status load_options_parse(int argc, char **argv, mrd_time_ms now_ms,
                                                  struct load_options *options,
                                                  struct mrd_error *err);

extern const char load_options_help[];

#endif
