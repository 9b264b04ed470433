/* config_internal.h: what config.c, config_yaml.c and config_text.c share. */
#ifndef MRD_BASE_CONFIG_INTERNAL_H
#define MRD_BASE_CONFIG_INTERNAL_H

#include "base/config.h"
#include "base/duration.h"
#include "base/number.h"

enum {
    CONFIG_PATH_MAX = 128,
    CONFIG_NUMBER_MAX = MRD_DURATION_TEXT_MAX,
    CONFIG_SECRET_MAX = 64 << 10
};
#define CONFIG_NONE SIZE_MAX

struct config_value {
    int64_t number; /* BOOL, INT, SIZE, DURATION (ms), ENUM (index) */
    double real;    /* FLOAT */
    char *text;     /* STRING, SECRET, ENUM */
    char **items;   /* LIST */
    size_t item_count;
    bool is_set; /* by a source, not the default */
};

struct config_override {
    const struct mrd_config_key *key;
    struct config_value value;
};

struct config_tenant {
    char *name;  /* terminated; names hold no NUL */
    size_t line; /* where it stands, for errors */
    struct config_override *items;
    size_t count;
};

struct config_tenants {
    struct config_tenant *items; /* sorted by name, once read */
    size_t count;
    size_t capacity;
};

struct mrd_config {
    const struct mrd_config_schema *schema; /* must outlive all snapshots */
    const struct mrd_config_key **keys;     /* merged, sorted by path */
    struct config_value *values;            /* parallel to keys */
    size_t key_count;
    bool is_view; /* of another snapshot: keys and what values point to are that one's */
    const struct mrd_config_key **tenant_keys; /* for overrides: ours and other services', sorted */
    size_t tenant_key_count;
    struct config_tenants tenants;
    _Atomic size_t references;
};

/* The key that schemas with overrides have beside their tables. */
#define CONFIG_OVERRIDES_FILE "overrides_file"

/* All keys of a schema, later tables winning, sorted by path; the caller frees the array. */
size_t config_keys(const struct mrd_config_schema *schema, const struct mrd_config_key ***out_keys);

/* The index of a path in sorted keys, or CONFIG_NONE. */
size_t config_key_index(const struct mrd_config_key *const *keys, size_t count,
                        struct mrd_bytes path);
size_t config_index(const struct mrd_config *config, struct mrd_bytes path);

/* Reads a zeroed value from text (config_value.c); `where` as below. */
MRD_MUST_CHECK enum mrd_status config_value_parse(const struct mrd_config_key *key,
                                                  const char *text, const char *where,
                                                  struct config_value *value,
                                                  struct mrd_error *err);
/* Adds to a LIST. */
MRD_MUST_CHECK enum mrd_status config_value_add(const struct mrd_config_key *key,
                                                struct mrd_bytes item, const char *where,
                                                struct config_value *value, struct mrd_error *err);
void config_value_copy(const struct config_value *from, struct config_value *to);
void config_value_fini(struct config_value *value);

/* Sets a value from text; `where` ("file.yaml:12", "--set") begins the error's text. */
MRD_MUST_CHECK enum mrd_status config_set(struct mrd_config *config, size_t index, const char *text,
                                          const char *where, struct mrd_error *err);
void config_take(struct mrd_config *config, size_t index, struct config_value *value);

/* Fails with the nearest of the keys, for "did you mean". */
enum mrd_status config_unknown(const struct mrd_config *config,
                               const struct mrd_config_key *const *keys, size_t key_count,
                               struct mrd_bytes path, const char *where, struct mrd_error *err);

/* Applies a YAML file (config_yaml.c); `overrides_only`: it has no place for anything else. */
MRD_MUST_CHECK enum mrd_status config_read_file(struct mrd_config *config, const char *path,
                                                bool overrides_only, struct mrd_error *err);

/* ---- overrides (config_overrides.c) ---- */

/* The keys that overrides may name, for a new configuration whose schema allows them. */
void config_overrides_keys(struct mrd_config *config);

/* A new tenant at the end of the list, not sorted in. */
MRD_MUST_CHECK enum mrd_status config_tenant_add(struct mrd_config *config,
                                                 struct config_tenants *tenants,
                                                 struct mrd_bytes name, size_t line,
                                                 const char *where, struct config_tenant **out,
                                                 struct mrd_error *err);

/* Gives the tenant a value, which is taken over and zeroed. */
void config_tenant_set(struct config_tenant *tenant, const struct mrd_config_key *key,
                       struct config_value *value);

/* Merges what one file says into the configuration, its values winning. MRD_E_INVALID: a tenant stands in
 * it twice. `file` names it. */
MRD_MUST_CHECK enum mrd_status config_tenants_merge(struct mrd_config *config, const char *file,
                                                    struct config_tenants *tenants,
                                                    struct mrd_error *err);
void config_tenants_fini(struct config_tenants *tenants);

/* A number as the file would have it: "16MiB", "1m30s", "5" (config_text.c). Returns out. */
const char *config_number_text(enum mrd_config_type type, double value,
                               char out[CONFIG_NUMBER_MAX]);

/* A value as the file would have it (config_text.c). */
void config_value_write(struct mrd_buf *out, const struct mrd_config_key *key,
                        const struct config_value *value);
void config_quoted_write(struct mrd_buf *out, const char *text);

/* Appends the section of the dump (config_overrides.c). */
void config_overrides_write(const struct mrd_config *config, struct mrd_buf *out);

#endif
