/* Signals that are mostly zero as lists of what is not. */

/* As bytes of 0 and 1 lie in memory. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "bits of active senders are written for little-endian machines"
#endif

/* A bit for each of 64 numbers: is it something else than 0? */
static uint64_t active_bits(const real *x, int64_t count)
{
    uint8_t active[64];
    if (count >= 64) {
        #pragma omp simd
        for (int64_t j = 0; j < 64; j++) active[j] = x[j] != 0;
    } else
        for (int64_t j = 0; j < 64; j++) active[j] = j < count && x[j] != 0;
    uint64_t bits = 0;
    for (int64_t j = 0; j < 8; j++) {
        uint64_t word;
        memcpy(&word, active + 8*j, sizeof word);
        bits |= (word*UINT64_C(0x0102040810204080) >> 56) << 8*j; /* the lowest bits of eight bytes, side by side */
    }
    return bits;
}

/* The senders of each row that are not 0: index and value, from begin[row] on; index and value have room for all. */
static int64_t __attribute__((unused)) list_rows(const real *sent, int64_t rows, int64_t pre, int64_t *begin, int32_t *index, real *value)
{
    int64_t n = 0;
    for (int64_t r = 0; r < rows; r++) {
        begin[r] = n;
        const real *const x = sent + r*pre;
        for (int64_t i = 0; i < pre; i += 64)
            for (uint64_t bits = active_bits(x + i, pre - i); bits != 0; bits &= bits - 1) {
                const int64_t at = i + __builtin_ctzll(bits);
                index[n] = (int32_t)at;
                value[n++] = x[at];
            }
    }
    begin[rows] = n;
    return n;
}
