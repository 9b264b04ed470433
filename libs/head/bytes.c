/* Bytes in pool blocks that grow. */
#include "head/head_internal.h"

struct mrd_bytes head_bytes_view(const struct mrd_head *head, const struct head_bytes *bytes)
{
    return (struct mrd_bytes){bytes->at == 0 ? NULL : head_at(head, bytes->at), bytes->size};
}

void head_bytes_free(struct mrd_head *head, enum mrd_head_memory category, struct head_bytes *bytes)
{
    if (bytes->at != 0) {
        head_free(head, category, bytes->at, bytes->capacity);
    }
    *bytes = (struct head_bytes){0};
}

static void bytes_reserve(struct mrd_head *head, enum mrd_head_memory category,
                          struct head_bytes *bytes, size_t size)
{
    if (size <= bytes->capacity) {
        return;
    }
    const size_t capacity = mrd_pool_rounded(size);
    const mrd_pool_handle at = head_alloc(head, category, capacity);
    const struct head_bytes old = *bytes;
    if (old.size > 0) {
        memcpy(head_at(head, at), head_at(head, old.at), old.size);
    }
    head_bytes_free(head, category, bytes);
    *bytes = (struct head_bytes){at, old.size, (uint32_t)capacity};
}

void head_bytes_append(struct mrd_head *head, enum mrd_head_memory category,
                       struct head_bytes *bytes, struct mrd_bytes more)
{
    const size_t size = bytes->size + more.size;
    if (size > bytes->capacity) {
        const size_t bigger = size + bytes->size / 4;
        bytes_reserve(head, category, bytes,
                      size <= MRD_POOL_SMALL_MAX ? MRD_MIN(bigger, (size_t)MRD_POOL_SMALL_MAX)
                                                 : bigger);
    }
    memcpy((uint8_t *)head_at(head, bytes->at) + bytes->size, more.data, more.size);
    bytes->size += (uint32_t)more.size;
}

void head_bytes_trim(struct mrd_head *head, enum mrd_head_memory category, struct head_bytes *bytes)
{
    if (mrd_pool_rounded(bytes->size) < bytes->capacity) {
        struct head_bytes trimmed = {0};
        bytes_reserve(head, category, &trimmed, bytes->size);
        head_bytes_append(head, category, &trimmed, head_bytes_view(head, bytes));
        head_bytes_free(head, category, bytes);
        *bytes = trimmed;
    }
}
