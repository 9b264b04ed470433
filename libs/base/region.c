#include "base/region.h"

#include <sys/mman.h>

/* Memory becomes usable in steps: each is a system call. From the second on huge pages are asked for:
 * random access to a large head would otherwise spend its time in page table walks. */
enum { REGION_STEP = 4 << 20, REGION_PAGE = 4096, REGION_ALIGN = 2 << 20 };

static size_t round_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

enum mrd_status mrd_region_init(struct mrd_region *region, size_t size_bytes_max,
                                struct mrd_error *err)
{
    const size_t reserved = round_up(size_bytes_max, REGION_STEP);
    void *base =
        mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return mrd_fail_errno(err, MRD_E_LIMIT, "reserve %zu bytes of address space", reserved);
    }
    *region = (struct mrd_region){.base = base, .reserved_bytes = reserved};
    return MRD_OK;
}

void mrd_region_fini(struct mrd_region *region)
{
    if (region->base != NULL) {
        (void)munmap(region->base, region->reserved_bytes);
    }
    *region = (struct mrd_region){0};
}

void mrd_region_grow(struct mrd_region *region, size_t size_bytes)
{
    if (size_bytes > region->usable_bytes) {
        const size_t usable = round_up(size_bytes, REGION_STEP);
        mrd_assert(usable <= region->reserved_bytes);
        uint8_t *from = region->base + region->usable_bytes;
        const size_t size = usable - region->usable_bytes;
        const int made_usable = mprotect(from, size, PROT_READ | PROT_WRITE);
        mrd_assert(made_usable == 0);
        if (region->usable_bytes > 0) {
            (void)madvise(from, size, MADV_HUGEPAGE); /* a wish */
        }
        region->usable_bytes = usable;
    }
    region->size_bytes = size_bytes;
}

void mrd_region_discard(struct mrd_region *region, size_t offset, size_t size_bytes)
{
    const size_t from = round_up(offset, REGION_PAGE);
    const size_t to = (offset + size_bytes) / REGION_PAGE * REGION_PAGE;
    if (from < to) {
        (void)madvise(region->base + from, to - from, MADV_DONTNEED);
    }
}
