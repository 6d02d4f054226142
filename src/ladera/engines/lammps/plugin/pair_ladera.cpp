#include "pair_ladera.h"

#include "python_host.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr double HEAVIER = 1.5;          // amu, of masses that belong to another element

PairLadera::PairLadera(LAMMPS *lmp) : Pair(lmp), model(), atoms(), energy_unit(1.0)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;    // it is summed over edges
  comm_forward = comm_reverse = COLUMNS;
  model.number = -1;
  per_atom = {{"grade", LADERA_GRADE, &LaderaAtoms::grade, 0, {}},
              {"spread", LADERA_SPREAD, &LaderaAtoms::spread, 0, {}},
              {"charge", LADERA_CHARGE, &LaderaAtoms::charge, 0, {}}};
}

PairLadera::~PairLadera()
{
  ladera_forget(model.number);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

// pair_style ladera MODEL ...: several are a committee.
void PairLadera::settings(int narg, char **arg)
{
  if (narg == 0)
    error->all(FLERR, "pair_style ladera names no model; write pair_style ladera model.ladera");
  paths.clear();
  for (int k = 0; k < narg; k++) paths += std::string(k ? "\n" : "") + arg[k];
}

// pair_coeff * * H O ...: the element of each type of atoms.
void PairLadera::coeff(int narg, char **arg)
{
  if (!allocated) {
    const int n = atom->ntypes + 1;
    allocated = 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
    map = new int[n];
    for (int i = 0; i < n; i++) std::fill(setflag[i], setflag[i] + n, 0);
  }
  if (narg < 3)
    error->all(FLERR, "pair_coeff of ladera names no elements; write pair_coeff * * H O, the "
                      "element of each type of atoms in their order");
  map_element2type(narg - 2, arg + 2);
  load();
}

// Read the model on all processes; if one of them cannot, all stop with its sentence.
void PairLadera::load()
{
  const LaderaPython &python = ladera_python();
  symbols.clear();
  for (int k = 0; k < nelements; k++) symbols += std::string(k ? "\n" : "") + elements[k];
  ladera_forget(model.number);
  model = LaderaModel();
  model.number = -1;
  model.paths = paths.c_str();
  model.symbols = symbols.c_str();
  model.threads = comm->nthreads;
  model.processes = comm->nprocs;
  bool failed = !python.load;
  if (failed) strcpy(model.message, python.message);
  else failed = python.load(&model) != 0;
  const int me = failed ? comm->me : comm->nprocs;
  int who;
  MPI_Allreduce(&me, &who, 1, MPI_INT, MPI_MIN, world);
  if (who < comm->nprocs) {
    MPI_Bcast(model.message, LADERA_TEXT, MPI_CHAR, who, world);
    const std::string where = who ? " (on process " + std::to_string(who) + ")" : "";
    error->all(FLERR, std::string(model.message) + where);
  }
  // The flux of heat hangs on more than edges where messages are passed on.
  centroidstressflag = model.hops == 1 ? CENTROID_AVAIL : CENTROID_NOTAVAIL;
}

void PairLadera::init_style()
{
  if (strcmp(update->unit_style, "metal") == 0) energy_unit = 1.0;
  else if (strcmp(update->unit_style, "real") == 0)
    energy_unit = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
  else
    error->all(FLERR, "pair_style ladera works in units metal or real, and these are {}",
               update->unit_style);
  if (!force->newton_pair)
    error->all(FLERR, "pair_style ladera puts forces on ghost atoms; write newton on");
  for (int type = 1; type <= atom->ntypes; type++)
    if (map[type] < 0 && !force->pair_match("^hybrid", 0))
      error->all(FLERR, "pair_coeff of ladera has NULL for type {}, which only pair_style hybrid "
                        "gives to another style; name an element", type);
  require_all_pairs();
  require_no_exclusions();
  compare_masses();
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

// LAMMPS leaves pairs out of its list that a force field has bonds for.
void PairLadera::require_all_pairs()
{
  if (atom->molecular == Atom::ATOMIC) return;
  if (atom->nbonds == 0 && atom->nangles == 0 && atom->ndihedrals == 0) return;
  for (int k = 1; k < 4; k++)
    if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
      error->all(FLERR, "The atoms have bonds, whose pairs are left out of the neighbours that "
                        "pair_style ladera needs; write special_bonds lj/coul 1 1 1, or read data "
                        "without bonds");
}

// Nor may a script leave pairs out. A group that is excluded from all atoms is not there at all: that
// is how fix gcmc tries what is without an atom.
void PairLadera::require_no_exclusions()
{
  static constexpr char SAYS[] =
      "neigh_modify exclude leaves pairs out of the neighbours that pair_style ladera needs; write "
      "neigh_modify exclude none (atoms are held by fix setforce 0 0 0)";
  for (int k = 0; k < neighbor->nex_type; k++)
    if (map[neighbor->ex1_type[k]] >= 0 && map[neighbor->ex2_type[k]] >= 0) error->all(FLERR, SAYS);
  bool some = neighbor->nex_mol > 0;
  for (int k = 0; k < neighbor->nex_group; k++)
    some = some || (neighbor->ex1_group[k] != 0 && neighbor->ex2_group[k] != 0);
  if (!some) return;
  if (!force->pair_match("^hybrid", 0)) error->all(FLERR, SAYS);
  if (comm->me == 0) error->warning(FLERR, SAYS);    // the groups may be atoms of other styles
}

// A type whose mass is that of another element of the model was probably meant to be that.
void PairLadera::compare_masses()
{
  if (comm->me != 0 || !atom->mass) return;
  for (int type = 1; type <= atom->ntypes; type++) {
    if (map[type] < 0 || !atom->mass_setflag[type]) continue;
    const double mass = atom->mass[type];
    int nearest = map[type];
    for (int k = 0; k < nelements; k++)
      if (fabs(model.masses[k] - mass) < fabs(model.masses[nearest] - mass)) nearest = k;
    if (nearest != map[type] && fabs(model.masses[map[type]] - mass) > HEAVIER)
      error->warning(FLERR,
                     "Atoms of type {} have the mass {} of {}, and pair_coeff of ladera says that "
                     "they are {}; are its elements in the order of the types?",
                     type, mass, elements[nearest], elements[map[type]]);
  }
}

double PairLadera::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_coeff of ladera is missing");
  return model.cutoff;
}

void PairLadera::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  atoms.model = model.number;
  atoms.wanted = 0;
  for (auto &each : per_atom)
    if (each.asked) {
      atoms.wanted |= each.bit;
      each.values.assign(atom->nmax, 0.0);
    }
  first = 0;
  if (model.reach == LADERA_SYSTEM) {
    fill_system();
    ask();
    take_atoms();
    take_system();
    return;
  }
  sort_by_element();
  is_portion = model.reach == LADERA_EDGES && !(atoms.wanted & model.at_once);
  if (is_portion) {
    for (; first < list->inum; first += count) {
      fill_portion();
      ask();
      take_atoms();
      take_edges();
    }
  } else {    // even without atoms, for the other processes wait for this one's exchange
    fill_all();
    ask();
    take_atoms();
    take_edges();
  }
}

int PairLadera::row_of(int ii) const
{
  return is_portion ? ii - first : list->ilist[ii];
}

// --- values of atoms ----------------------------------------------------------------------------

// fix pair sets NAME_flag in the steps in which it wants the values.
void *PairLadera::extract(const char *name, int &dimension)
{
  dimension = 0;
  for (auto &each : per_atom)
    if (std::string(each.name) + "_flag" == name) return &each.asked;
  return nullptr;
}

void *PairLadera::extract_peratom(const char *name, int &columns)
{
  columns = 0;
  for (auto &each : per_atom) {
    if (strcmp(each.name, name) != 0) continue;
    if (!(model.gives & each.bit))
      error->all(FLERR, "This model gives no {}; docs/lammps.md says which models do", name);
    if ((int) each.values.size() < atom->nmax) each.values.resize(atom->nmax, 0.0);
    return each.values.data();
  }
  return nullptr;
}

double PairLadera::memory_usage()
{
  double used = Pair::memory_usage();
  for (auto *array : {&numbers, &row_pointer, &centers, &neighbors})
    used += sizeof(int64_t) * array->capacity();
  used += sizeof(int) * (ends.capacity() + sorted.capacity() + places.capacity());
  used += sizeof(double) * vectors.capacity();
  for (auto &each : per_atom) used += sizeof(double) * each.values.capacity();
  return used;
}
