/* config.h: one schema per service, and immutable snapshots of its values.
 *
 * The schema is a table: path, type, default, bounds, doc. Values come, later ones winning, from the
 * defaults, a YAML file of nested maps ("limits:\n  ingestion_rate: 5"), the environment
 * (MERIDIAN_LIMITS_INGESTION_RATE) and --set limits.ingestion_rate=5. An unknown key in the file or in
 * --set, and any bad value, is an error that names the place and says what to write instead. Unknown
 * MERIDIAN_ variables are no error: one environment is often shared by several services.
 *
 * A snapshot never changes. A reload reads the sources again and gives a new snapshot: keys marked
 * `reloadable` take their new values, others keep the old one and are named. Snapshots are counted
 * references; strings taken from one live as long as it.
 *
 * Overrides: keys marked `per_tenant` may have other values for named tenants, if the schema allows it:
 * in the file's section `overrides`, or in a file of the same shape that the key overrides_file names
 * (whose values win), a map from a tenant's name to keys and values:
 *
 *     overrides:
 *       farm-7: {limits.ingestion_rate: 50000, querier.promql_features: [all]}
 *
 * Threads: a snapshot may be read by all. The rest: one thread at a time.
 */
#ifndef MRD_BASE_CONFIG_H
#define MRD_BASE_CONFIG_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/clock.h"

enum mrd_config_type {
    MRD_CONFIG_BOOL,     /* true, false */
    MRD_CONFIG_INT,      /* whole number; underscores are not part of it */
    MRD_CONFIG_SIZE,     /* bytes: 4096, 64KiB, 16MiB, 1GiB, 2TiB (KB, MB, GB, TB are decimal) */
    MRD_CONFIG_DURATION, /* 500ms, 15s, 1h30m; stored as milliseconds */
    MRD_CONFIG_FLOAT,
    MRD_CONFIG_STRING,
    MRD_CONFIG_SECRET, /* a string that is never shown; "file:PATH" reads it from a file */
    MRD_CONFIG_ENUM,   /* one of `choices` */
    MRD_CONFIG_LIST /* of strings; a YAML sequence, or text with commas, those in braces or quotes not counted */
};

struct mrd_config_key {
    const char *path; /* "limits.ingestion_rate": [a-z0-9_]+ joined by single dots */
    enum mrd_config_type type;
    const char *initial; /* the default, written as in the file; NULL: required */
    const char *doc;     /* one or two sentences, with the unit and what 0 means */
    double min, max;     /* for numbers, sizes (bytes) and durations (ms); both 0: 0 or more. LIST:
                            max items, 0: any number */
    const char *const *choices; /* for ENUM and LIST: ended by NULL */
    /* For LIST: what else an item must be; MRD_E_INVALID says it. NULL: anything. */
    enum mrd_status (*check)(struct mrd_bytes item, struct mrd_error *err);
    bool reloadable;
    bool per_tenant; /* may be overridden for a tenant; such keys are reloadable as well */
};

/* Tables are merged: a path that appears again in a later table replaces the earlier entry (so a
 * service gives its own default to a common key). */
struct mrd_config_table {
    const struct mrd_config_key *keys;
    size_t key_count;
};

/* What overrides may be. Services share such a file, so each knows the per-tenant keys of the others: it
 * checks them, and leaves them to those. */
struct mrd_config_overrides {
    /* MRD_E_INVALID says the rules of tenants' names. */
    enum mrd_status (*tenant_check)(struct mrd_bytes name, struct mrd_error *err);
    const struct mrd_config_table *tables; /* per-tenant keys of all services */
    size_t table_count;
};
enum { MRD_CONFIG_TENANTS_MAX = 100000 };

struct mrd_config_schema {
    const char *service; /* "distributor" */
    const char *summary; /* one sentence for --help */
    const struct mrd_config_table *tables;
    size_t table_count;
    const struct mrd_config_overrides *overrides; /* NULL: none; else adds the key overrides_file */
};

/* Where values come from: what the command line says. Points into argv. */
enum { MRD_CONFIG_SETS_MAX = 256 };
struct mrd_config_sources {
    const char *file; /* NULL: none */
    const char *sets[MRD_CONFIG_SETS_MAX];
    size_t set_count;
    char **environment; /* as environ; NULL: none */
    enum mrd_config_action {
        MRD_CONFIG_RUN,
        MRD_CONFIG_HELP,
        MRD_CONFIG_VERSION,
        MRD_CONFIG_DOCS
    } action;
};

/* Reads --config FILE, --set K=V (repeatable), --help, --version, --print-config-docs; both "--x v" and
 * "--x=v". MRD_E_INVALID names an argument that is none of these. */
MRD_MUST_CHECK enum mrd_status mrd_config_args_parse(int argc, char **argv, char **environment,
                                                     struct mrd_config_sources *out_sources,
                                                     struct mrd_error *err);

struct mrd_config;

/* Reads all sources. MRD_E_INVALID: what is wrong, where (file:line, variable or --set), and what to
 * write. MRD_E_NOT_FOUND: no such file. The caller owns a reference. */
MRD_MUST_CHECK enum mrd_status mrd_config_load(const struct mrd_config_schema *schema,
                                               const struct mrd_config_sources *sources,
                                               struct mrd_config **out_config,
                                               struct mrd_error *err);

/* Reads the sources again. *out_config is a new snapshot, whose non-reloadable keys have the values of
 * `current`; the paths of those that would have changed are appended to `ignored`, one a line (may be
 * NULL). */
MRD_MUST_CHECK enum mrd_status mrd_config_reload(const struct mrd_config *current,
                                                 const struct mrd_config_sources *sources,
                                                 struct mrd_config **out_config,
                                                 struct mrd_buf *ignored, struct mrd_error *err);

struct mrd_config *mrd_config_retain(struct mrd_config *config);
void mrd_config_release(struct mrd_config **config); /* *config may be NULL; is NULL afterwards */

/* ---- values: the path must be in the schema with that type (assertion). Cost: a binary search, so
 * read hot values into fields of your own, and again at a reload ---- */

bool mrd_config_bool(const struct mrd_config *config, const char *path);
int64_t mrd_config_int(const struct mrd_config *config, const char *path);
uint64_t mrd_config_size(const struct mrd_config *config, const char *path);
mrd_time_ms mrd_config_duration(const struct mrd_config *config, const char *path);
double mrd_config_float(const struct mrd_config *config, const char *path);
const char *mrd_config_string(const struct mrd_config *config,
                              const char *path);                           /* or SECRET, ENUM */
size_t mrd_config_enum(const struct mrd_config *config, const char *path); /* index in choices */
size_t mrd_config_list_size(const struct mrd_config *config, const char *path);
const char *mrd_config_list_at(const struct mrd_config *config, const char *path, size_t index);

/* True if a source set the key, rather than the default. */
bool mrd_config_is_set(const struct mrd_config *config, const char *path);

/* ---- tenants with overrides, sorted by name ---- */

size_t mrd_config_tenant_count(const struct mrd_config *config);
struct mrd_bytes mrd_config_tenant_name(const struct mrd_config *config, size_t index);

/* True and its index if the tenant has overrides. Cost: a binary search. */
bool mrd_config_tenant_find(const struct mrd_config *config, struct mrd_bytes name,
                            size_t *out_index);

/* The configuration as that tenant has it, without overrides of its own. It reads from `config`, which
 * outlives it; the caller releases it. Cost: a copy of some kilobytes. */
struct mrd_config *mrd_config_tenant_view(const struct mrd_config *config, size_t index);

/* ---- texts ---- */

/* All values and overrides as YAML that could be read back, secrets as "<secret>". */
void mrd_config_dump(const struct mrd_config *config, struct mrd_buf *out);

/* The same without overrides. */
void mrd_config_dump_common(const struct mrd_config *config, struct mrd_buf *out);

/* A section of docs/configuration.md: heading and one table row per key. */
void mrd_config_docs(const struct mrd_config_schema *schema, struct mrd_buf *out);

/* What --help prints. */
void mrd_config_help(const struct mrd_config_schema *schema, struct mrd_buf *out);

#endif
