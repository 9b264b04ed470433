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

struct mrd_config {
    const struct mrd_config_schema *schema; /* must outlive all snapshots */
    const struct mrd_config_key **keys;     /* merged, sorted by path */
    struct config_value *values;            /* parallel to keys */
    size_t key_count;
    _Atomic size_t references;
};

/* All keys of a schema, later tables winning, sorted by path; the caller frees the array. */
size_t config_keys(const struct mrd_config_schema *schema, const struct mrd_config_key ***out_keys);

/* The index of a path, or CONFIG_NONE. */
size_t config_index(const struct mrd_config *config, struct mrd_bytes path);

/* Reads a zeroed value from text (config_value.c); `where` as below. */
MRD_MUST_CHECK enum mrd_status config_value_parse(const struct mrd_config_key *key,
                                                  const char *text, const char *where,
                                                  struct config_value *value,
                                                  struct mrd_error *err);
void config_value_add(struct config_value *value, struct mrd_bytes item); /* to a LIST */
void config_value_fini(struct config_value *value);

/* Sets a value from text; `where` ("file.yaml:12", "--set") begins the error's text. */
MRD_MUST_CHECK enum mrd_status config_set(struct mrd_config *config, size_t index, const char *text,
                                          const char *where, struct mrd_error *err);
void config_list_clear(struct mrd_config *config, size_t index);
void config_list_add(struct mrd_config *config, size_t index, struct mrd_bytes item);

const char *config_nearest(const struct mrd_config *config, struct mrd_bytes path);
enum mrd_status config_unknown(const struct mrd_config *config, struct mrd_bytes path,
                               const char *where, struct mrd_error *err);

/* Applies a YAML file (config_yaml.c). */
MRD_MUST_CHECK enum mrd_status config_read_file(struct mrd_config *config, const char *path,
                                                struct mrd_error *err);

/* A number as the file would have it: "16MiB", "1m30s", "5" (config_text.c). Returns out. */
const char *config_number_text(enum mrd_config_type type, double value,
                               char out[CONFIG_NUMBER_MAX]);

/* A terminated copy; never NULL. */
char *config_copy(struct mrd_bytes text);

#endif
