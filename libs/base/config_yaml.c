/* Reads a configuration file: one YAML document of nested maps, scalars and sequences of scalars. An
 * alias cannot blow it up: the depth is bounded and no path may stand twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/config_internal.h"

enum { YAML_DEPTH_MAX = 8, WHERE_FILE_MAX = 256, MRD_CONFIG_NAME_ROOM = 256 };

struct yaml_walk {
    struct mrd_config *config;
    const struct mrd_config_key *const *keys; /* that have a place here */
    size_t key_count;
    struct config_tenant *tenant;  /* whose overrides are read; NULL: the service's own values */
    struct config_tenants tenants; /* of this file */
    bool overrides_only;
    yaml_document_t *document;
    const char *file;
    bool *seen; /* parallel to the keys: a path may stand once only */
    char path[CONFIG_PATH_MAX];
    size_t path_size;
    char where[512 + MRD_CONFIG_NAME_ROOM];
};

static void walk_at(struct yaml_walk *walk, const yaml_node_t *node)
{
    if (walk->tenant == NULL) {
        (void)snprintf(walk->where, sizeof(walk->where), "%.*s:%zu", WHERE_FILE_MAX, walk->file,
                       node->start_mark.line + 1);
    } else {
        (void)snprintf(walk->where, sizeof(walk->where), "%.*s:%zu: tenant %s", WHERE_FILE_MAX,
                       walk->file, node->start_mark.line + 1, walk->tenant->name);
    }
}

static struct mrd_bytes scalar_text(const yaml_node_t *node)
{
    return (struct mrd_bytes){node->data.scalar.value, node->data.scalar.length};
}

static enum mrd_status read_scalar(const struct yaml_walk *walk, const struct mrd_config_key *key,
                                   const yaml_node_t *node, struct config_value *value,
                                   struct mrd_error *err)
{
    const char *text = (const char *)node->data.scalar.value; /* terminated by libyaml */
    if (strlen(text) != node->data.scalar.length) {
        return mrd_fail(err, MRD_E_INVALID, "%s: %s: a NUL byte has no place here", walk->where,
                        walk->path);
    }
    return config_value_parse(key, text, walk->where, value, err);
}

static enum mrd_status read_list(struct yaml_walk *walk, const struct mrd_config_key *key,
                                 const yaml_node_t *node, struct config_value *value,
                                 struct mrd_error *err)
{
    if (key->type != MRD_CONFIG_LIST) {
        return mrd_fail(err, MRD_E_INVALID, "%s: %s: takes one value, not a list", walk->where,
                        walk->path);
    }
    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        const yaml_node_t *child = yaml_document_get_node(walk->document, *item);
        if (child->type != YAML_SCALAR_NODE) {
            walk_at(walk, child);
            return mrd_fail(err, MRD_E_INVALID, "%s: %s: a list of plain values is wanted",
                            walk->where, walk->path);
        }
        MRD_TRY(config_value_add(key, scalar_text(child), walk->where, value, err));
    }
    return MRD_OK;
}

static enum mrd_status read_value(struct yaml_walk *walk, const yaml_node_t *node,
                                  struct mrd_error *err)
{
    const struct mrd_bytes path = {(const uint8_t *)walk->path, walk->path_size};
    const size_t index = config_key_index(walk->keys, walk->key_count, path);
    if (index == CONFIG_NONE) {
        return config_unknown(walk->config, walk->keys, walk->key_count, path, walk->where, err);
    }
    const struct mrd_config_key *key = walk->keys[index];
    if (walk->tenant != NULL && !key->per_tenant) {
        return mrd_fail(err, MRD_E_INVALID,
                        "%s: %s: is the same for all tenants; --print-config-docs says which keys "
                        "are per tenant",
                        walk->where, walk->path);
    }
    if (walk->seen[index]) {
        return mrd_fail(err, MRD_E_INVALID, "%s: %s: stands here a second time", walk->where,
                        walk->path);
    }
    walk->seen[index] = true;
    struct config_value value = {0};
    const enum mrd_status status = node->type == YAML_SCALAR_NODE
                                       ? read_scalar(walk, key, node, &value, err)
                                       : read_list(walk, key, node, &value, err);
    if (status != MRD_OK) {
        config_value_fini(&value);
    } else if (walk->tenant != NULL) {
        config_tenant_set(walk->tenant, key, &value);
    } else {
        config_take(walk->config, index, &value);
    }
    return status;
}

/* True for "limits:" with nothing below it: an empty section, all of whose keys are commented out. */
static bool is_empty_section(const struct yaml_walk *walk, const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.length != 0 ||
        node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    for (size_t i = 0; i < walk->key_count; i++) {
        const char *known = walk->keys[i]->path;
        if (strncmp(known, walk->path, walk->path_size) == 0 && known[walk->path_size] == '.') {
            return true;
        }
    }
    return false;
}

static enum mrd_status read_node(struct yaml_walk *walk, const yaml_node_t *node, int depth,
                                 struct mrd_error *err);

/* ---- overrides ---- */

static bool is_nothing(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0;
}

/* Reads one tenant's values as if its map were a file of its own. */
static enum mrd_status read_tenant(struct yaml_walk *walk, const yaml_node_pair_t *pair,
                                   struct mrd_error *err)
{
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    const yaml_node_t *values = yaml_document_get_node(walk->document, pair->value);
    walk_at(walk, key);
    if (key->type != YAML_SCALAR_NODE) {
        return mrd_fail(err, MRD_E_INVALID, "%s: a tenant's name must be a plain word",
                        walk->where);
    }
    struct config_tenant *tenant;
    MRD_TRY(config_tenant_add(walk->config, &walk->tenants, scalar_text(key),
                              key->start_mark.line + 1, walk->where, &tenant, err));
    walk->tenant = tenant;
    walk_at(walk, key);
    if (values->type != YAML_MAPPING_NODE && !is_nothing(values)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "%s: keys with values are wanted, such as {limits.ingestion_rate: 50000}",
                        walk->where);
    }
    memset(walk->seen, 0, walk->key_count * sizeof(*walk->seen));
    return is_nothing(values) ? MRD_OK : read_node(walk, values, 1, err);
}

static enum mrd_status read_tenants(struct yaml_walk *walk, const yaml_node_t *node,
                                    struct mrd_error *err)
{
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        MRD_TRY(read_tenant(walk, pair, err));
        walk->tenant = NULL;
        walk->path_size = 0;
        walk->path[0] = 0;
    }
    return MRD_OK;
}

/* The section `overrides`. What it says is in walk->tenants, for the end of the file. */
static enum mrd_status read_overrides(struct yaml_walk *walk, const yaml_node_t *node,
                                      struct mrd_error *err)
{
    if (is_nothing(node)) {
        return MRD_OK;
    }
    if (node->type != YAML_MAPPING_NODE || walk->tenants.count > 0) {
        return mrd_fail(err, MRD_E_INVALID, "%s: overrides: %s", walk->where,
                        walk->tenants.count > 0 ? "stands here a second time"
                                                : "names of tenants are wanted, each with keys");
    }
    struct yaml_walk inner = *walk;
    inner.keys = walk->config->tenant_keys;
    inner.key_count = walk->config->tenant_key_count;
    inner.seen = calloc(inner.key_count + 1, sizeof(*inner.seen));
    mrd_assert(inner.seen != NULL);
    inner.path_size = 0;
    inner.path[0] = 0;
    const enum mrd_status status = read_tenants(&inner, node, err);
    walk->tenants = inner.tenants;
    free(inner.seen);
    return status;
}

static bool is_overrides(const struct yaml_walk *walk, int depth, struct mrd_bytes name)
{
    return depth == 0 && walk->tenant == NULL && walk->config->schema->overrides != NULL &&
           mrd_bytes_equal(name, MRD_BYTES("overrides"));
}

static enum mrd_status read_pair(struct yaml_walk *walk, const yaml_node_pair_t *pair, int depth,
                                 struct mrd_error *err)
{
    const yaml_node_t *key = yaml_document_get_node(walk->document, pair->key);
    walk_at(walk, key);
    if (key->type != YAML_SCALAR_NODE) {
        return mrd_fail(err, MRD_E_INVALID, "%s: a key must be a plain word", walk->where);
    }
    const struct mrd_bytes name = scalar_text(key);
    if (is_overrides(walk, depth, name)) {
        return read_overrides(walk, yaml_document_get_node(walk->document, pair->value), err);
    }
    if (walk->overrides_only && walk->tenant == NULL) {
        return mrd_fail(err, MRD_E_INVALID, "%s: only the section overrides has a place here",
                        walk->where);
    }
    const size_t size_before = walk->path_size;
    const int written = snprintf(walk->path + size_before, sizeof(walk->path) - size_before,
                                 "%s%.*s", size_before == 0 ? "" : ".", MRD_FMT(name));
    if (written < 0 || (size_t)written >= sizeof(walk->path) - size_before) {
        return mrd_fail(err, MRD_E_INVALID, "%s: a key this long is not known", walk->where);
    }
    walk->path_size = strlen(walk->path);
    MRD_TRY(read_node(walk, yaml_document_get_node(walk->document, pair->value), depth + 1, err));
    walk->path_size = size_before;
    walk->path[size_before] = 0;
    return MRD_OK;
}

static enum mrd_status read_node(struct yaml_walk *walk, const yaml_node_t *node, int depth,
                                 struct mrd_error *err)
{
    if (depth > YAML_DEPTH_MAX) {
        return mrd_fail(err, MRD_E_INVALID, "%s: %s: nested too deeply", walk->where, walk->path);
    }
    if (node->type == YAML_MAPPING_NODE) {
        for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top; pair++) {
            MRD_TRY(read_pair(walk, pair, depth, err));
        }
        return MRD_OK;
    }
    if (depth == 0) {
        walk_at(walk, node);
        return mrd_fail(err, MRD_E_INVALID, "%s: sections with keys are wanted, such as \"log:\"",
                        walk->where);
    }
    if (is_empty_section(walk, node)) {
        return MRD_OK;
    }
    return read_value(walk, node, err);
}

static enum mrd_status fail_parser(const yaml_parser_t *parser, const char *file,
                                   struct mrd_error *err)
{
    return mrd_fail(err, MRD_E_INVALID, "%s:%zu: not valid YAML: %s", file,
                    parser->problem_mark.line + 1,
                    parser->problem != NULL ? parser->problem : "unreadable");
}

static enum mrd_status read_document(struct mrd_config *config, const char *file,
                                     bool overrides_only, yaml_document_t *document,
                                     struct mrd_error *err)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL) {
        return MRD_OK; /* an empty file */
    }
    struct yaml_walk walk = {.config = config,
                             .keys = config->keys,
                             .key_count = config->key_count,
                             .overrides_only = overrides_only,
                             .document = document,
                             .file = file};
    walk.seen = calloc(config->key_count + 1, sizeof(*walk.seen));
    mrd_assert(walk.seen != NULL);
    walk_at(&walk, root);
    enum mrd_status status = read_node(&walk, root, 0, err);
    free(walk.seen);
    if (status == MRD_OK) {
        status = config_tenants_merge(config, file, &walk.tenants, err);
    }
    config_tenants_fini(&walk.tenants);
    return status;
}

static enum mrd_status read_stream(struct mrd_config *config, const char *file, bool overrides_only,
                                   FILE *stream, struct mrd_error *err)
{
    yaml_parser_t parser;
    mrd_assert(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, stream);
    yaml_document_t document;
    enum mrd_status status;
    if (yaml_parser_load(&parser, &document) == 0) {
        status = fail_parser(&parser, file, err);
    } else {
        status = read_document(config, file, overrides_only, &document, err);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return status;
}

enum mrd_status config_read_file(struct mrd_config *config, const char *path, bool overrides_only,
                                 struct mrd_error *err)
{
    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        return mrd_fail_errno(err, errno == ENOENT ? MRD_E_NOT_FOUND : MRD_E_INVALID,
                              "configuration file %s", path);
    }
    const enum mrd_status status = read_stream(config, path, overrides_only, stream, err);
    (void)fclose(stream);
    return status;
}
