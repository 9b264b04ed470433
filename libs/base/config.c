#include "base/config.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/config_internal.h"

/* ---- the schema, merged and sorted ---- */

static int compare_keys(const void *a, const void *b)
{
    const struct mrd_config_key *const *left = a;
    const struct mrd_config_key *const *right = b;
    return strcmp((*left)->path, (*right)->path);
}

static void path_check(const char *path)
{
    bool dot_allowed = false;
    for (const char *at = path; *at != 0; at++) {
        mrd_assert(*at == '.'
                       ? dot_allowed
                       : islower((unsigned char)*at) || *at == '_' || isdigit((unsigned char)*at));
        dot_allowed = *at != '.';
    }
    mrd_assert(dot_allowed);
}

static void keys_add(const struct mrd_config_key **keys, size_t *count,
                     const struct mrd_config_key *key)
{
    path_check(key->path);
    mrd_assert(!key->per_tenant || key->reloadable);
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(keys[i]->path, key->path) == 0) {
            keys[i] = key; /* a later table's entry wins */
            return;
        }
    }
    keys[(*count)++] = key;
}

size_t config_keys(const struct mrd_config_schema *schema, const struct mrd_config_key ***out_keys)
{
    static const struct mrd_config_key overrides_file = {
        .path = CONFIG_OVERRIDES_FILE,
        .type = MRD_CONFIG_STRING,
        .initial = "",
        .doc =
            "File with settings of single tenants, of the shape of the section `overrides`; it is "
            "read again when it changes. Empty: none.",
        .reloadable = true,
    };
    size_t count_max = 2;
    for (size_t i = 0; i < schema->table_count; i++) {
        count_max += schema->tables[i].key_count;
    }
    const struct mrd_config_key **keys = calloc(count_max, sizeof(const struct mrd_config_key *));
    mrd_assert(keys != NULL);
    size_t count = 0;
    if (schema->overrides != NULL) {
        keys_add(keys, &count, &overrides_file);
    }
    for (size_t i = 0; i < schema->table_count; i++) {
        for (size_t k = 0; k < schema->tables[i].key_count; k++) {
            keys_add(keys, &count, &schema->tables[i].keys[k]);
        }
    }
    qsort((void *)keys, count, sizeof(const struct mrd_config_key *), compare_keys);
    *out_keys = keys;
    return count;
}

size_t config_key_index(const struct mrd_config_key *const *keys, size_t count,
                        struct mrd_bytes path)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = mrd_bytes_compare(mrd_bytes_of(keys[middle]->path), path);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return CONFIG_NONE;
}

size_t config_index(const struct mrd_config *config, struct mrd_bytes path)
{
    return config_key_index(config->keys, config->key_count, path);
}

/* ---- setting one value ---- */

/* Replaces the value of a key by one that is taken over. */
void config_take(struct mrd_config *config, size_t index, struct config_value *value)
{
    config_value_fini(&config->values[index]);
    config->values[index] = *value;
    config->values[index].is_set = true;
    *value = (struct config_value){0};
}

/* Replaces the value of a key; on failure the old one stays. */
enum mrd_status config_set(struct mrd_config *config, size_t index, const char *text,
                           const char *where, struct mrd_error *err)
{
    struct config_value value = {0};
    const enum mrd_status status =
        config_value_parse(config->keys[index], text, where, &value, err);
    if (status != MRD_OK) {
        config_value_fini(&value);
        return status;
    }
    config_take(config, index, &value);
    return MRD_OK;
}

/* The nearest known path, for "did you mean"; NULL if none is near. */
static const char *nearest_of(const struct mrd_config_key *const *keys, size_t key_count,
                              struct mrd_bytes path)
{
    const char *nearest = NULL;
    size_t distance_min = 4;
    for (size_t k = 0; k < key_count; k++) {
        const char *known = keys[k]->path;
        const size_t known_size = strlen(known);
        if (known_size >= CONFIG_PATH_MAX || path.size >= CONFIG_PATH_MAX) {
            continue;
        }
        size_t row[CONFIG_PATH_MAX + 1]; /* Levenshtein distance, one row at a time */
        for (size_t j = 0; j <= known_size; j++) {
            row[j] = j;
        }
        for (size_t i = 1; i <= path.size; i++) {
            size_t diagonal = row[0];
            row[0] = i;
            for (size_t j = 1; j <= known_size; j++) {
                const size_t above = row[j];
                const size_t cost = diagonal + (path.data[i - 1] != (uint8_t)known[j - 1]);
                const size_t near = MRD_MIN(above, row[j - 1]) + 1;
                row[j] = MRD_MIN(cost, near);
                diagonal = above;
            }
        }
        if (row[known_size] < distance_min) {
            distance_min = row[known_size];
            nearest = known;
        }
    }
    return nearest;
}

enum mrd_status config_unknown(const struct mrd_config *config,
                               const struct mrd_config_key *const *keys, size_t key_count,
                               struct mrd_bytes path, const char *where, struct mrd_error *err)
{
    const char *nearest = nearest_of(keys, key_count, path);
    if (nearest != NULL) {
        return mrd_fail(err, MRD_E_INVALID, "%s: unknown key %.*s; did you mean %s?", where,
                        MRD_FMT(path), nearest);
    }
    return mrd_fail(err, MRD_E_INVALID,
                    "%s: unknown key %.*s; --print-config-docs lists the keys of meridian-%s",
                    where, MRD_FMT(path), config->schema->service);
}

/* ---- sources other than the file ---- */

static void variable_name(const char *path, char *out, size_t out_size)
{
    (void)snprintf(out, out_size, "MERIDIAN_%s", path);
    for (char *at = out; *at != 0; at++) {
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    }
}

static const char *environment_get(char **environment, const char *name)
{
    const size_t size = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=') {
            return *environment + size + 1;
        }
    }
    return NULL;
}

static enum mrd_status apply_environment(struct mrd_config *config, char **environment,
                                         struct mrd_error *err)
{
    for (size_t i = 0; i < config->key_count; i++) {
        char name[CONFIG_PATH_MAX + 16];
        variable_name(config->keys[i]->path, name, sizeof(name));
        const char *text = environment_get(environment, name);
        if (text != NULL) {
            MRD_TRY(config_set(config, i, text, name, err));
        }
    }
    return MRD_OK;
}

static enum mrd_status apply_set(struct mrd_config *config, const char *set, struct mrd_error *err)
{
    const char *equals = strchr(set, '=');
    if (equals == NULL) {
        return mrd_fail(err, MRD_E_INVALID, "--set %s: write --set section.key=value", set);
    }
    const struct mrd_bytes path = {(const uint8_t *)set, (size_t)(equals - set)};
    const size_t index = config_index(config, path);
    if (index == CONFIG_NONE) {
        return config_unknown(config, config->keys, config->key_count, path, "--set", err);
    }
    return config_set(config, index, equals + 1, "--set", err);
}

/* ---- loading ---- */

static struct mrd_config *config_create(const struct mrd_config_schema *schema)
{
    struct mrd_config *config = calloc(1, sizeof(*config));
    mrd_assert(config != NULL);
    config->schema = schema;
    config->key_count = config_keys(schema, &config->keys);
    config->values = calloc(config->key_count + 1, sizeof(*config->values));
    mrd_assert(config->values != NULL);
    if (schema->overrides != NULL) {
        config_overrides_keys(config);
    }
    atomic_init(&config->references, 1);
    return config;
}

/* A bad default is our own mistake. */
static void apply_defaults(struct mrd_config *config)
{
    for (size_t i = 0; i < config->key_count; i++) {
        if (config->keys[i]->initial != NULL) {
            struct mrd_error err;
            const enum mrd_status status =
                config_set(config, i, config->keys[i]->initial, "default", &err);
            if (status != MRD_OK) {
                (void)fprintf(stderr, "%s\n", err.text);
            }
            mrd_assert(status == MRD_OK);
            config->values[i].is_set = false;
        }
    }
}

static enum mrd_status check_required(const struct mrd_config *config, struct mrd_error *err)
{
    for (size_t i = 0; i < config->key_count; i++) {
        if (config->keys[i]->initial == NULL && !config->values[i].is_set) {
            return mrd_fail(err, MRD_E_INVALID, "%s is required: set it in the file or with --set",
                            config->keys[i]->path);
        }
    }
    return MRD_OK;
}

static enum mrd_status read_overrides_file(struct mrd_config *config, struct mrd_error *err)
{
    if (config->schema->overrides == NULL) {
        return MRD_OK;
    }
    const char *file = mrd_config_string(config, CONFIG_OVERRIDES_FILE);
    if (file[0] == 0) {
        return MRD_OK;
    }
    const enum mrd_status status = config_read_file(config, file, true, err);
    return status == MRD_OK ? MRD_OK : mrd_fail_prefix(err, status, CONFIG_OVERRIDES_FILE);
}

enum mrd_status mrd_config_load(const struct mrd_config_schema *schema,
                                const struct mrd_config_sources *sources,
                                struct mrd_config **out_config, struct mrd_error *err)
{
    mrd_auto(mrd_config_release)
    struct mrd_config *config = config_create(schema);
    apply_defaults(config);
    if (sources->file != NULL) {
        MRD_TRY(config_read_file(config, sources->file, false, err));
    }
    MRD_TRY(apply_environment(config, sources->environment, err));
    for (size_t i = 0; i < sources->set_count; i++) {
        MRD_TRY(apply_set(config, sources->sets[i], err));
    }
    MRD_TRY(check_required(config, err));
    MRD_TRY(read_overrides_file(config, err));
    *out_config = MRD_MOVE(config);
    return MRD_OK;
}

static bool text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool value_equal(const struct config_value *a, const struct config_value *b)
{
    if (a->number != b->number || a->real != b->real || !text_equal(a->text, b->text) ||
        a->item_count != b->item_count) {
        return false;
    }
    for (size_t i = 0; i < a->item_count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0) {
            return false;
        }
    }
    return true;
}

enum mrd_status mrd_config_reload(const struct mrd_config *current,
                                  const struct mrd_config_sources *sources,
                                  struct mrd_config **out_config, struct mrd_buf *ignored,
                                  struct mrd_error *err)
{
    struct mrd_config *config = NULL;
    MRD_TRY(mrd_config_load(current->schema, sources, &config, err));
    for (size_t i = 0; i < config->key_count; i++) {
        if (!config->keys[i]->reloadable && !value_equal(&config->values[i], &current->values[i])) {
            config_value_copy(&current->values[i], &config->values[i]);
            if (ignored != NULL) {
                mrd_buf_printf(ignored, "%s\n", config->keys[i]->path);
            }
        }
    }
    *out_config = config;
    return MRD_OK;
}

struct mrd_config *mrd_config_retain(struct mrd_config *config)
{
    /* Relaxed: whoever retains holds a reference already. */
    atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
    return config;
}

void mrd_config_release(struct mrd_config **config)
{
    struct mrd_config *gone = MRD_MOVE(*config);
    /* Release and acquire: all uses by others happen before the last one frees. */
    if (gone == NULL || atomic_fetch_sub_explicit(&gone->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (size_t i = 0; i < gone->key_count && !gone->is_view; i++) {
        config_value_fini(&gone->values[i]);
    }
    if (!gone->is_view) {
        free((void *)gone->keys);
        free((void *)gone->tenant_keys);
    }
    config_tenants_fini(&gone->tenants);
    free(gone->values);
    free(gone);
}

/* ---- values ---- */

static const struct config_value *value_at(const struct mrd_config *config, const char *path,
                                           enum mrd_config_type type)
{
    const size_t index = config_index(config, mrd_bytes_of(path));
    mrd_assert(index != CONFIG_NONE);
    mrd_assert(config->keys[index]->type == type);
    return &config->values[index];
}

bool mrd_config_bool(const struct mrd_config *config, const char *path)
{
    return value_at(config, path, MRD_CONFIG_BOOL)->number != 0;
}

int64_t mrd_config_int(const struct mrd_config *config, const char *path)
{
    return value_at(config, path, MRD_CONFIG_INT)->number;
}

uint64_t mrd_config_size(const struct mrd_config *config, const char *path)
{
    return (uint64_t)value_at(config, path, MRD_CONFIG_SIZE)->number;
}

mrd_time_ms mrd_config_duration(const struct mrd_config *config, const char *path)
{
    return value_at(config, path, MRD_CONFIG_DURATION)->number;
}

double mrd_config_float(const struct mrd_config *config, const char *path)
{
    return value_at(config, path, MRD_CONFIG_FLOAT)->real;
}

const char *mrd_config_string(const struct mrd_config *config, const char *path)
{
    const size_t index = config_index(config, mrd_bytes_of(path));
    mrd_assert(index != CONFIG_NONE);
    mrd_assert(config->values[index].text != NULL); /* STRING, SECRET or ENUM */
    return config->values[index].text;
}

size_t mrd_config_enum(const struct mrd_config *config, const char *path)
{
    return (size_t)value_at(config, path, MRD_CONFIG_ENUM)->number;
}

size_t mrd_config_list_size(const struct mrd_config *config, const char *path)
{
    return value_at(config, path, MRD_CONFIG_LIST)->item_count;
}

const char *mrd_config_list_at(const struct mrd_config *config, const char *path, size_t index)
{
    const struct config_value *value = value_at(config, path, MRD_CONFIG_LIST);
    mrd_assert(index < value->item_count);
    return value->items[index];
}

bool mrd_config_is_set(const struct mrd_config *config, const char *path)
{
    const size_t index = config_index(config, mrd_bytes_of(path));
    mrd_assert(index != CONFIG_NONE);
    return config->values[index].is_set;
}
