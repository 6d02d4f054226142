// From LAMMPS's list of neighbours to the arrays of edges that Python is given.

#include "pair_ladera.h"

#include "python_host.h"

#include "atom.h"
#include "domain.h"
#include "error.h"
#include "neigh_list.h"
#include "neighbor.h"

#include <algorithm>

using namespace LAMMPS_NS;

// Pairs of the list at a time, so that what is made of them stays in the cache.
static constexpr int64_t PORTION = 1 << 18;

// Sort the neighbours of each atom by their atomic number, in the list itself: once for all steps
// that it lasts, and the order of a list is of no meaning to others. A type may change meanwhile.
void PairLadera::sort_by_element()
{
  if (nelements < 2) return;
  const int *type = atom->type, n_atoms = atom->nlocal + atom->nghost;
  if (neighbor->ago != 0 && (int) types.size() == n_atoms &&
      std::equal(types.begin(), types.end(), type))
    return;
  types.assign(type, type + n_atoms);
  std::vector<int> rank(nelements), starts(nelements + 1);
  for (int a = 0; a < nelements; a++)
    for (int b = 0; b < nelements; b++)
      rank[a] += model.numbers[b] < model.numbers[a] || (b < a && model.numbers[b] == model.numbers[a]);
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii], n = list->numneigh[i];
    int *jlist = list->firstneigh[i];
    if ((int) sorted.size() < n) {
      sorted.resize(n);
      places.resize(n);
    }
    std::fill(starts.begin(), starts.end(), 0);
    for (int k = 0; k < n; k++) {
      places[k] = rank[map[type[jlist[k] & NEIGHMASK]]];
      starts[places[k] + 1]++;
    }
    for (int k = 0; k < nelements; k++) starts[k + 1] += starts[k];
    for (int k = 0; k < n; k++) sorted[starts[places[k]]++] = jlist[k];
    std::copy(sorted.begin(), sorted.begin() + n, jlist);
  }
}

template <typename T> static void grow(std::vector<T> &array, int64_t size)
{
  if ((int64_t) array.size() < size) {
    array.clear();    // nothing in it is needed
    array.resize(size + size / 8);
  }
}

void PairLadera::make_room(int64_t n_atoms, int64_t n_edges)
{
  grow(numbers, n_atoms);
  grow(row_pointer, n_atoms + 1);
  grow(centers, n_edges + 1);    // one more: see add_edges
  grow(neighbors, n_edges + 1);
  grow(vectors, 3 * (n_edges + 1));
  grow(ends, n_edges + 1);
  atoms.numbers = numbers.data();
  atoms.row_pointer = row_pointer.data();
  atoms.centers = centers.data();
  atoms.neighbors = neighbors.data();
  atoms.vectors = vectors.data();
  atoms.atom_room = std::min(numbers.size(), row_pointer.size() - 1);
  atoms.edge_room = std::min(centers.size(), vectors.size() / 3);
}

// Write the edges of an atom of the list from `edge` on, and return where they end. All pairs are
// written, but only those within the cutoff are stepped past: no branch to mispredict. What the
// loops read is at hand by names of their own, for the compiler cannot know that they do not write it.
int64_t PairLadera::add_edges(int ii, int64_t edge)
{
  const int i = list->ilist[ii], n = list->numneigh[i], row = row_of(ii);
  const int *__restrict jlist = list->firstneigh[i];
  const double *__restrict x = atom->x[0];
  const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
  const double reach = model.cutoff * model.cutoff;
  const int64_t start = edge;
  int *__restrict end = ends.data();
  double *__restrict vector = vectors.data() + 3 * start;
  for (int k = 0; k < n; k++) {
    const int64_t j = jlist[k] & NEIGHMASK;
    const double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
    const int is_near = dx * dx + dy * dy + dz * dz < reach;
    end[edge] = j;
    vector[0] = dx;
    vector[1] = dy;
    vector[2] = dz;
    edge += is_near;
    vector += 3 * is_near;
  }
  std::fill(centers.begin() + start, centers.begin() + edge, row);
  int64_t *__restrict neighbor = neighbors.data();
  if (!is_portion) {
    for (int64_t e = start; e < edge; e++) neighbor[e] = end[e];
  } else if (nelements == 1) {
    std::fill(neighbor + start, neighbor + edge, count);
  } else {
    const int *__restrict type = atom->type, *__restrict element = map;
    const int64_t first_of_elements = count;
    for (int64_t e = start; e < edge; e++) neighbor[e] = first_of_elements + element[type[end[e]]];
  }
  return edge;
}

// The next atoms of the list as a structure of their own. Their energies depend on the elements of
// their neighbours and on nothing else of these, so that one atom of each element, behind the
// others and without edges, stands for all neighbours.
void PairLadera::fill_portion()
{
  int64_t pairs = 0;
  for (count = 0; first + count < list->inum && pairs < PORTION; count++)
    pairs += list->numneigh[list->ilist[first + count]];
  make_room(count + nelements, pairs);
  int64_t edge = 0;
  for (int ii = first; ii < first + count; ii++) {
    numbers[ii - first] = model.numbers[map[atom->type[list->ilist[ii]]]];
    row_pointer[ii - first] = edge;
    edge = add_edges(ii, edge);
  }
  for (int k = 0; k <= nelements; k++) row_pointer[count + k] = edge;
  for (int k = 0; k < nelements; k++) numbers[count + k] = model.numbers[k];
  atoms.n_owned = count;
  atoms.n_atoms = count + nelements;
  atoms.n_edges = edge;
  atoms.positions = nullptr;
}

// All atoms of this process and its ghosts, as LAMMPS numbers them.
void PairLadera::fill_all()
{
  const int n_atoms = atom->nlocal + atom->nghost;
  count = list->inum;
  int64_t pairs = 0;
  for (int ii = 0; ii < count; ii++) pairs += list->numneigh[list->ilist[ii]];
  make_room(n_atoms, pairs);
  int64_t edge = 0;
  int row = 0;
  for (int ii = 0; ii < count; ii++) {
    const int i = list->ilist[ii];
    if (i < row) error->one(FLERR, "The atoms of the neighbour list are not in order");
    while (row <= i) row_pointer[row++] = edge;
    edge = add_edges(ii, edge);
  }
  while (row <= n_atoms) row_pointer[row++] = edge;
  for (int i = 0; i < n_atoms; i++)    // those of other styles are nobody's neighbours
    numbers[i] = model.numbers[std::max(map[atom->type[i]], 0)];
  atoms.n_owned = atom->nlocal;
  atoms.n_atoms = n_atoms;
  atoms.n_edges = edge;
  atoms.positions = n_atoms ? atom->x[0] : nullptr;
}

// All atoms of the system, which this process has.
void PairLadera::fill_system()
{
  const int n_atoms = atom->nlocal;
  if (list->inum != n_atoms)
    error->all(FLERR, "The energy of this model depends on all atoms, and pair hybrid leaves some "
                      "of them out");
  if (neighbor->exclude)
    error->all(FLERR, "The energy of this model depends on all atoms, and neigh_modify exclude or "
                      "a fix such as gcmc leaves some of them out; take a model with a cutoff");
  count = n_atoms;
  is_portion = false;
  make_room(n_atoms, 0);
  for (int i = 0; i < n_atoms; i++) numbers[i] = model.numbers[map[atom->type[i]]];
  const double cell[9] = {domain->xprd, 0, 0, domain->xy, domain->yprd, 0,
                          domain->xz, domain->yz, domain->zprd};
  std::copy(cell, cell + 9, atoms.cell);
  std::copy(domain->periodicity, domain->periodicity + 3, atoms.periodic);
  atoms.n_owned = atoms.n_atoms = n_atoms;
  atoms.n_edges = 0;
  atoms.positions = n_atoms ? atom->x[0] : nullptr;
}

void PairLadera::ask()
{
  atoms.is_portion = is_portion;
  atoms.pair = this;
  atoms.forward = forward;
  atoms.reverse = reverse;
  atoms.total = total;
  if (ladera_python().evaluate(&atoms) != 0) error->one(FLERR, std::string(atoms.message));
}
