"""fleet_operators: the calls of FleetService that are about operators and join tokens."""

from __future__ import annotations

import grpc

from pybible.server.controller.pki.enrolment import TokenRequest
from pybible.server.controller.services.fleet_part import Context, FleetPart, moment
from pybible.server.controller.store import tokens
from pybible.server.controller.store.tokens import TokenRecord
from pybible.v1 import fleet_pb2
from pybible.wire.convert import seconds_of
from pybible.wire.errors import PybibleError
from pybible.wire.identity import Identity, JoinToken, OperatorRole, Role


class OperatorCalls(FleetPart):
    """Says who has a certificate or a token, gives tokens out and takes both back."""

    async def ListOperators(
        self,
        request: fleet_pb2.ListOperatorsRequest,
        context: Context[fleet_pb2.ListOperatorsRequest, fleet_pb2.ListOperatorsResponse],
    ) -> fleet_pb2.ListOperatorsResponse:
        """Return the operators' certificates that are in force."""
        await self._access.require(context, "pybible.v1.FleetService/ListOperators")
        return fleet_pb2.ListOperatorsResponse(
            operators=[
                fleet_pb2.Operator(
                    name=record.identity.id,
                    role=record.operator_role or "",
                    serial=f"{record.serial:x}",
                    issued=moment(record.issued),
                    expires=moment(record.expires),
                )
                for record in self._allowed.of_role(Role.OPERATOR)
            ]
        )

    async def RevokeOperator(
        self,
        request: fleet_pb2.RevokeOperatorRequest,
        context: Context[fleet_pb2.RevokeOperatorRequest, fleet_pb2.RevokeOperatorResponse],
    ) -> fleet_pb2.RevokeOperatorResponse:
        """Revoke an operator's certificates, end his runs."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RevokeOperator")
        revoked = await self._enrolment.revoke_operator(request.operator)
        if not revoked:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no operator {request.operator!r} has a certificate")
        self._runs.interrupt(Identity(Role.OPERATOR, request.operator).uri, "the operator's certificate was revoked")
        self._access.note(caller, "operator.revoke", request.operator, certificates=revoked)
        return fleet_pb2.RevokeOperatorResponse(certificates=revoked)

    async def CreateToken(
        self,
        request: fleet_pb2.CreateTokenRequest,
        context: Context[fleet_pb2.CreateTokenRequest, fleet_pb2.CreateTokenResponse],
    ) -> fleet_pb2.CreateTokenResponse:
        """Make a join token. Its secret is in this answer only."""
        caller = await self._access.require(context, "pybible.v1.FleetService/CreateToken")
        wanted = request.role or Role.AGENT
        if wanted != Role.AGENT and wanted not in set(OperatorRole):
            known = ", ".join((Role.AGENT, *OperatorRole))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{wanted!r} is not a role; roles are {known}")
        role = None if wanted == Role.AGENT else OperatorRole(wanted)
        if role is not None and caller.operator_role is not OperatorRole.ADMIN:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{caller} makes tokens for agents only")
        try:
            secret, record = await self._enrolment.create_token(
                TokenRequest(
                    ttl=seconds_of(request.ttl) or None,
                    uses=request.uses or 1,
                    name_pattern=request.name_pattern,
                    labels=dict(request.labels),
                    operator_role=role,
                    replaces=request.replace,
                )
            )
        except PybibleError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._access.note(
            caller,
            "token.create",
            record.token_id,
            role=str(role or Role.AGENT),
            name=record.name_pattern,
            uses=record.uses_left,
            labels=dict(record.labels),
        )
        token = JoinToken(address=self._facts.enroll_address, pin=self._facts.authority_pin, secret=secret)
        return fleet_pb2.CreateTokenResponse(token=token.encode(), description=_token(record))

    async def ListTokens(
        self,
        request: fleet_pb2.ListTokensRequest,
        context: Context[fleet_pb2.ListTokensRequest, fleet_pb2.ListTokensResponse],
    ) -> fleet_pb2.ListTokensResponse:
        """Return every token without its secret, the newest first."""
        await self._access.require(context, "pybible.v1.FleetService/ListTokens")
        records = await self._database.read(tokens.every)
        return fleet_pb2.ListTokensResponse(tokens=[_token(record) for record in records])

    async def RevokeToken(
        self,
        request: fleet_pb2.RevokeTokenRequest,
        context: Context[fleet_pb2.RevokeTokenRequest, fleet_pb2.RevokeTokenResponse],
    ) -> fleet_pb2.RevokeTokenResponse:
        """Make a token good for nothing."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RevokeToken")
        if not await self._database.write(lambda connection: tokens.revoke(connection, request.token_id)):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no token {request.token_id!r}")
        self._access.note(caller, "token.revoke", request.token_id)
        return fleet_pb2.RevokeTokenResponse()


def _token(record: TokenRecord) -> fleet_pb2.Token:
    return fleet_pb2.Token(
        token_id=record.token_id,
        created=moment(record.created),
        expires=moment(record.expires),
        uses_left=record.uses_left,
        name_pattern=record.name_pattern,
        labels=record.labels,
        revoked=record.revoked,
        role=str(record.operator_role or record.role),
    )
