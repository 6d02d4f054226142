// From Python's answers to what LAMMPS sums up: energies, forces, virials.

#include "pair_ladera.h"

#include "atom.h"
#include "error.h"
#include "group.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <cmath>

using namespace LAMMPS_NS;

// An atom whose group is excluded from all others is not there, and has no energy of its own.
bool PairLadera::is_there(int i) const
{
  for (int k = 0; k < neighbor->nex_group; k++) {
    const int one = neighbor->ex1_group[k], other = neighbor->ex2_group[k];
    if (one == 0 && (atom->mask[i] & group->bitmask[other])) return false;
    if (other == 0 && (atom->mask[i] & group->bitmask[one])) return false;
  }
  return true;
}

void PairLadera::take_atoms()
{
  double sum = 0.0;
  for (int ii = first; ii < first + count; ii++) {
    if (neighbor->nex_group && !is_there(list->ilist[ii])) continue;
    const double energy = energy_unit * atoms.energies[row_of(ii)];
    sum += energy;
    if (eflag_atom) eatom[list->ilist[ii]] += energy;
  }
  if (!std::isfinite(sum))
    error->one(FLERR,
               "The energy is not a number at step {}: atoms are in one place or have run away; "
               "look at the structure, the time step and the temperature",
               update->ntimestep);
  if (eflag_global) eng_vdwl += sum;
  for (auto &each : per_atom) {
    const double *values = atoms.*each.answer;
    if (each.asked && values)
      for (int ii = first; ii < first + count; ii++)
        each.values[list->ilist[ii]] = values[row_of(ii)];
  }
}

// F_i = sum_j g_ij - sum_j g_ji; what ghosts get, LAMMPS sends home.
void PairLadera::take_edges()
{
  if (count == 0) return;
  const int *__restrict end = ends.data();
  const double *__restrict gradients = atoms.gradients;
  const double unit = energy_unit;
  double *__restrict f = atom->f[0];
  for (int ii = first; ii < first + count; ii++) {
    const int64_t i = list->ilist[ii], row = row_of(ii), stop = row_pointer[row + 1];
    double fx = 0.0, fy = 0.0, fz = 0.0;
    for (int64_t e = row_pointer[row]; e < stop; e++) {
      const double *__restrict g = gradients + 3 * e;
      const double gx = unit * g[0], gy = unit * g[1], gz = unit * g[2];
      double *fj = f + 3 * (int64_t) end[e];
      fj[0] -= gx;
      fj[1] -= gy;
      fj[2] -= gz;
      fx += gx;
      fy += gy;
      fz += gz;
    }
    f[3 * i] += fx;
    f[3 * i + 1] += fy;
    f[3 * i + 2] += fz;
  }
  if (vflag_either) take_virials();
}

// LAMMPS's virial is sum r F, which is -sum_ij r_ij (x) g_ij. As in Ladera's own stresses the part
// of an edge is its centre's; the centroid form, for the flux of heat, gives it to the neighbour,
// whose velocity does the work: J = sum_i e_i v_i - sum_ij r_ij (g_ij . v_j).
void PairLadera::take_virials()
{
  for (int ii = first; ii < first + count; ii++) {
    const int i = list->ilist[ii], row = row_of(ii);
    double w[6] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int64_t e = row_pointer[row]; e < row_pointer[row + 1]; e++) {
      const double *r = vectors.data() + 3 * e, *g = atoms.gradients + 3 * e;
      w[0] -= r[0] * g[0];
      w[1] -= r[1] * g[1];
      w[2] -= r[2] * g[2];
      w[3] -= 0.5 * (r[0] * g[1] + r[1] * g[0]);
      w[4] -= 0.5 * (r[0] * g[2] + r[2] * g[0]);
      w[5] -= 0.5 * (r[1] * g[2] + r[2] * g[1]);
      if (cvflag_atom) {
        static constexpr int A[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2}, B[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};
        for (int k = 0; k < 9; k++) cvatom[ends[e]][k] -= energy_unit * r[A[k]] * g[B[k]];
      }
    }
    for (int k = 0; k < 6; k++) {
      if (vflag_global) virial[k] += energy_unit * w[k];
      if (vflag_atom) vatom[i][k] += energy_unit * w[k];
    }
  }
}

void PairLadera::take_system()
{
  static constexpr int PLACE[6] = {0, 4, 8, 1, 2, 5};
  double **f = atom->f;
  for (int i = 0; i < count; i++)
    for (int k = 0; k < 3; k++) f[i][k] += energy_unit * atoms.forces[3 * i + k];
  for (int k = 0; k < 6; k++) {
    if (vflag_global) virial[k] -= energy_unit * atoms.virial[PLACE[k]];
    if (vflag_atom)
      for (int i = 0; i < count; i++)
        vatom[i][k] -= energy_unit * atoms.virials[9 * i + PLACE[k]];
  }
}
