/* Label texts, each stored once for all tenants and counted by the series that use it. */
#include "head/head_internal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint32_t name_hash(struct mrd_bytes text)
{
    return (uint32_t)XXH3_64bits(text.data, text.size);
}

mrd_pool_handle head_name_find(const struct mrd_head *head, struct mrd_bytes text)
{
    const uint32_t hash = name_hash(text);
    uint32_t at = hash;
    for (;;) {
        const mrd_pool_handle handle = head_table_next(&head->names, hash, &at);
        if (handle == 0 || mrd_bytes_equal(head_name_text(head, handle), text)) {
            return handle;
        }
    }
}

mrd_pool_handle head_name_acquire(struct mrd_head *head, struct mrd_bytes text)
{
    mrd_pool_handle handle = head_name_find(head, text);
    if (handle == 0) {
        handle = head_alloc(head, MRD_HEAD_MEMORY_LABELS, sizeof(struct head_name) + text.size);
        struct head_name *fresh = head_at(head, handle);
        fresh->references = 0;
        fresh->size = (uint32_t)text.size;
        if (text.size > 0) {
            memcpy(fresh->text, text.data, text.size);
        }
        head_table_add(&head->names, name_hash(text), handle);
    }
    struct head_name *name = head_at(head, handle);
    name->references++;
    return handle;
}

void head_name_release(struct mrd_head *head, mrd_pool_handle handle)
{
    struct head_name *name = head_at(head, handle);
    if (--name->references == 0) {
        head_table_remove(&head->names, name_hash(head_name_text(head, handle)), handle);
        head_free(head, MRD_HEAD_MEMORY_LABELS, handle, sizeof(*name) + name->size);
    }
}

struct head_label head_label_of(struct mrd_bytes name, struct mrd_bytes value)
{
    const uint64_t name_part = XXH3_64bits(name.data, name.size);
    return (struct head_label){name, value,
                               (uint32_t)XXH3_64bits_withSeed(value.data, value.size, name_part)};
}

static inline bool pair_is(const struct mrd_head *head, mrd_pool_handle handle,
                           const struct head_label *label)
{
    const struct head_pair *pair = head_at(head, handle);
    return pair->value_size == label->value.size &&
           memcmp(pair->value, label->value.data, label->value.size) == 0 &&
           mrd_bytes_equal(head_name_text(head, pair->name), label->name);
}

mrd_pool_handle head_pair_find(const struct mrd_head *head, const struct head_label *label)
{
    uint32_t at = label->hash;
    for (;;) {
        const mrd_pool_handle handle = head_table_next(&head->pairs, label->hash, &at);
        if (handle == 0 || pair_is(head, handle, label)) {
            return handle;
        }
    }
}

mrd_pool_handle head_pair_acquire(struct mrd_head *head, const struct head_label *label)
{
    mrd_pool_handle handle = head_pair_find(head, label);
    if (handle == 0) {
        const mrd_pool_handle name = head_name_acquire(head, label->name);
        handle =
            head_alloc(head, MRD_HEAD_MEMORY_LABELS, sizeof(struct head_pair) + label->value.size);
        struct head_pair *fresh = head_at(head, handle);
        *fresh = (struct head_pair){0, label->hash, name, (uint32_t)label->value.size};
        memcpy(fresh->value, label->value.data, label->value.size);
        head_table_add(&head->pairs, label->hash, handle);
    }
    struct head_pair *pair = head_at(head, handle);
    pair->references++;
    return handle;
}

void head_pair_release(struct mrd_head *head, mrd_pool_handle handle)
{
    struct head_pair *pair = head_at(head, handle);
    if (--pair->references == 0) {
        head_table_remove(&head->pairs, pair->hash, handle);
        head_name_release(head, pair->name);
        head_free(head, MRD_HEAD_MEMORY_LABELS, handle, sizeof(*pair) + pair->value_size);
    }
}
