// The exchange of ghosts' rows by LAMMPS's communication.

#include "pair_ladera.h"

#include "comm.h"

#include <algorithm>

using namespace LAMMPS_NS;

// Some columns at a time, for which LAMMPS has buffers. Their number is said by comm_forward and
// comm_reverse: an argument for it came late in 2024, and not in all versions in use.
void PairLadera::exchange(bool is_forward, void *where, int n_columns, int n_bytes)
{
  rows = static_cast<char *>(where);
  stride = n_columns;
  bytes = n_bytes;
  for (column = 0; column < stride; column += COLUMNS) {
    comm_forward = comm_reverse = width = std::min(COLUMNS, stride - column);
    if (is_forward) comm->forward_comm(this);
    else comm->reverse_comm(this);
  }
  comm_forward = comm_reverse = COLUMNS;
}

void PairLadera::forward(void *pair, void *rows, int32_t width, int32_t bytes)
{
  static_cast<PairLadera *>(pair)->exchange(true, rows, width, bytes);
}

void PairLadera::reverse(void *pair, void *rows, int32_t width, int32_t bytes)
{
  static_cast<PairLadera *>(pair)->exchange(false, rows, width, bytes);
}

void PairLadera::total(void *pair, double *values, int32_t count)
{
  MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_SUM,
                static_cast<PairLadera *>(pair)->world);
}

template <typename T> static void pack_row(const void *rows, int64_t place, int width, double *to)
{
  const T *row = static_cast<const T *>(rows) + place;
  for (int k = 0; k < width; k++) to[k] = row[k];
}

template <typename T>
static void unpack_row(void *rows, int64_t place, int width, const double *from, bool is_added)
{
  T *row = static_cast<T *>(rows) + place;
  for (int k = 0; k < width; k++) row[k] = static_cast<T>(is_added ? row[k] + from[k] : from[k]);
}

int PairLadera::pack_forward_comm(int n, int *which, double *buffer, int, int *)
{
  auto pack = bytes == 4 ? pack_row<float> : pack_row<double>;
  for (int k = 0; k < n; k++)
    pack(rows, (int64_t) which[k] * stride + column, width, buffer + (int64_t) k * width);
  return n * width;
}

void PairLadera::unpack_forward_comm(int n, int start, double *buffer)
{
  auto unpack = bytes == 4 ? unpack_row<float> : unpack_row<double>;
  for (int k = 0; k < n; k++)
    unpack(rows, (int64_t) (start + k) * stride + column, width, buffer + (int64_t) k * width,
           false);
}

int PairLadera::pack_reverse_comm(int n, int start, double *buffer)
{
  auto pack = bytes == 4 ? pack_row<float> : pack_row<double>;
  for (int k = 0; k < n; k++)
    pack(rows, (int64_t) (start + k) * stride + column, width, buffer + (int64_t) k * width);
  return n * width;
}

void PairLadera::unpack_reverse_comm(int n, int *which, double *buffer)
{
  auto unpack = bytes == 4 ? unpack_row<float> : unpack_row<double>;
  for (int k = 0; k < n; k++)
    unpack(rows, (int64_t) which[k] * stride + column, width, buffer + (int64_t) k * width, true);
}
