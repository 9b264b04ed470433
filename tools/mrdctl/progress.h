/* progress.h: how far an import has come, in a file, so that a later one goes on.
 *
 * JSON: {"version": 1, "url": ..., "tenant": ..., "options": ..., "blocks": {ULID: {"series": n, "chunk": n} or {"done": true}}}. Everything before the
 * position has been acknowledged. The file is replaced as a whole, so it is never half written; one that is a little old
 * costs only that samples are sent again, which stores nothing twice.
 *
 * Owner: ctl_progress_close, which does not save. Threads: one.
 */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <jansson.h>

#include "base/bytes.h"

struct ctl_position {
    uint64_t series; /* place in the index */
    uint64_t chunk;  /* of the series */
    bool done;
};

/* What an import must have in common with the one that it goes on with. */
struct ctl_progress_of {
    const char *url;
    const char *tenant; /* NULL: none is named */
    const char *options;
};

struct ctl_progress {
    const char *path; /* NULL: nothing is kept */
    json_t *root;
};

/* Reads the file if there is one. MRD_E_INVALID: it is none, or of another server, tenant or options; MRD_E_UNAVAILABLE. */
MRD_MUST_CHECK enum mrd_status ctl_progress_open(struct ctl_progress *progress, const char *path,
                                                 const struct ctl_progress_of *of,
                                                 struct mrd_error *err);
void ctl_progress_close(struct ctl_progress *progress);

struct ctl_position ctl_progress_get(const struct ctl_progress *progress, const char *ulid);
void ctl_progress_set(struct ctl_progress *progress, const char *ulid,
                      struct ctl_position position);

/* Writes the file and waits until it is on disk. */
MRD_MUST_CHECK enum mrd_status ctl_progress_save(const struct ctl_progress *progress,
                                                 struct mrd_error *err);

#endif
