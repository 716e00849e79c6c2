/* Signals that are mostly zero as lists of what is not. */

/* The number of the lowest byte's bit, as eight bytes of 0 and 1 lie in memory. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "lists of active senders are written for little-endian machines"
#endif
#define LOWEST(word) __builtin_ctzll(word)

/* The senders of each row that are not 0: index and value, from begin[row] on; index and value have room for all. */
static int64_t __attribute__((unused)) list_rows(const real *sent, int64_t rows, int64_t pre, int64_t *begin, int32_t *index, real *value)
{
    int64_t n = 0;
    for (int64_t r = 0; r < rows; r++) {
        begin[r] = n;
        const real *const x = sent + r*pre;
        for (int64_t i = 0; i < pre; i += 64) { /* one byte for each, looked at by eights */
            const int64_t count = pre - i < 64 ? pre - i : 64;
            uint8_t active[64];
            if (count == 64) {
                #pragma omp simd
                for (int64_t j = 0; j < 64; j++) active[j] = x[i + j] != 0;
            } else
                for (int64_t j = 0; j < 64; j++) active[j] = j < count && x[i + j] != 0;
            for (int64_t j = 0; j < count; j += 8) {
                uint64_t word;
                memcpy(&word, active + j, sizeof word);
                for (; word != 0; word &= word - 1) {
                    const int64_t at = i + j + LOWEST(word)/8;
                    index[n] = (int32_t)at;
                    value[n++] = x[at];
                }
            }
        }
    }
    begin[rows] = n;
    return n;
}
