/* log_info.h: reads what JetStream's API answers about a log's stream and its entries, and edits the configuration in it. Plain values, any thread.
 *
 * Errors of the API are errors here: MRD_E_NOT_FOUND for what is not there, MRD_E_UNAVAILABLE for others. What is no answer of
 * the API is MRD_E_CORRUPT.
 */
#ifndef MRD_BUS_LOG_INFO_H
#define MRD_BUS_LOG_INFO_H

#include "bus/log_admin.h"

/* Of $JS.API.STREAM.INFO.<stream>. */
MRD_MUST_CHECK enum mrd_status mrd_log_info_parse(struct mrd_bytes json, struct mrd_log_state *out,
                                                  struct mrd_error *err);

/* Of $JS.API.STREAM.MSG.GET.<stream>: when the entry was stored. */
MRD_MUST_CHECK enum mrd_status mrd_log_entry_parse(struct mrd_bytes json, mrd_time_ms *out_ms,
                                                   struct mrd_error *err);

/* The configuration of an answer about a stream, with all that this library does not know of it: the body of $JS.API.STREAM.UPDATE.<stream>. Texts are equal
 * if what they say is. The caller frees it. */
MRD_MUST_CHECK enum mrd_status mrd_log_info_config(struct mrd_bytes json, char **out,
                                                   struct mrd_error *err);

struct mrd_log_limits {
    bool set;              /* false: all stays */
    bool age_decides;      /* false: a stream without an age limit stays without */
    int64_t bytes_max;     /* 0: stays */
    int64_t age_ns;        /* 0: none, and duplicates_ns is the minimum at least */
    int64_t duplicates_ns; /* 0: stays */
};
struct mrd_log_edit {
    struct mrd_log_limits limits;
    const struct mrd_log_map *
        map; /* of a configuration that says another one the description is written anew; NULL: it stays */
};
/* Likewise, of a configuration. */
MRD_MUST_CHECK enum mrd_status mrd_log_config_edit(const char *config,
                                                   const struct mrd_log_edit *edit, char **out,
                                                   struct mrd_error *err);

#endif
